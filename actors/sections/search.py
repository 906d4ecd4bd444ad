"""Embedding and the index."""

import enum
import os
import re
import tempfile
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from actors.sections.base import Section


class Arithmetic(enum.StrEnum):
    """How the local model computes two thirds of its products; everything else is float32."""

    FLOAT32 = "float32"
    INT8 = "int8"


class EmbeddingProvider(enum.StrEnum):
    """Who turns texts into vectors."""

    MINILM = "minilm"
    """The local model."""

    OPENAI = "openai"
    """Any server with the embeddings API of OpenAI."""


_ENDPOINT = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", re.IGNORECASE)


class EmbeddingSettings(Section):
    """What turns texts into vectors. Fields from ``base_url`` on are of the provider ``openai``."""

    provider: EmbeddingProvider = EmbeddingProvider.MINILM
    arithmetic: Arithmetic = Field(
        default=Arithmetic.FLOAT32,
        description="of the local model; int8 is faster and less exact, and the two do not mix",
    )
    background_threads: int | None = Field(
        default=None, ge=1, le=64, description="for passages; default one for each core"
    )
    max_background_threads: int = Field(default=8, ge=1, description="of that default")
    background_nice: int = Field(
        default=10, ge=0, le=19, description="how far those threads stand back behind queries"
    )
    max_waiting_texts: int = Field(
        default=2_048, ge=1, description="in a member, of queries and of passages each"
    )
    retry_after_s: float = Field(default=1.0, gt=0, description="what a full embedder advises")

    base_url: str = Field(
        default="", description="such as https://api.openai.com/v1; /embeddings is put behind it"
    )
    model: str = Field(default="", max_length=200, description="as that server names it")
    api_key: SecretStr = Field(default=SecretStr(""), description="empty: none is sent")
    dimension: int = Field(default=1_536, ge=2, le=16_000, description="of that model's vectors")
    batch_texts: int = Field(default=32, ge=1, le=2_048, description="texts of one request")
    max_text_chars: int = Field(
        default=8_000, ge=100, description="of one text; the rest is not embedded"
    )
    max_in_flight: int = Field(
        default=4, ge=1, le=256, description="requests of a member, for queries and passages each"
    )
    timeout_s: float = Field(default=15.0, gt=0, description="of one request")
    query_timeout_s: float = Field(default=2.0, gt=0, description="the same where somebody waits")
    attempts: int = Field(default=5, ge=1, description="of one request, the first included")
    retry_delay_s: float = Field(default=0.25, gt=0, description="the first; it doubles")
    retry_delay_max_s: float = Field(default=8.0, gt=0)
    retry_budget_s: float = Field(
        default=30.0, ge=0, description="for passages; below index.embed_timeout_s"
    )
    query_retry_budget_s: float = Field(
        default=1.0, ge=0, description="for queries; below index.query_embed_timeout_s"
    )
    max_answer_bytes: int = Field(default=32 << 20, ge=1024)

    @model_validator(mode="after")
    def _names_its_endpoint(self) -> Self:
        if self.provider is not EmbeddingProvider.OPENAI:
            return self
        if not _ENDPOINT.fullmatch(self.base_url):
            raise ValueError("provider openai needs base_url, a plain http or https URL")
        if not self.model:
            raise ValueError("provider openai needs model")
        return self


class IndexSettings(Section):
    """Search: passages, the two legs, their fusion."""

    max_embed_texts: int = Field(default=64, ge=1, description="texts in one message")
    embed_claim: int = Field(default=32, ge=1, description="passages of one claim")
    embed_claims: int = Field(
        default=4, ge=1, le=64, description="claims a member has embedded at the same time"
    )
    embed_claim_s: float = Field(
        default=5.0, gt=0, description="without a renewal: then another member may try"
    )
    embed_timeout_s: float = Field(default=60.0, gt=0, description="for the passages of one claim")
    embed_aside_s: float = Field(
        default=600.0, gt=0, description="then a passage that the embedder refuses is tried again"
    )
    embed_poll_s: float = Field(default=0.5, gt=0)
    query_embed_timeout_s: float = Field(
        default=2.0, gt=0, description="then a search goes on with its words alone"
    )
    query_cache_entries: int = Field(default=4096, ge=0)
    chunk_max_words: int = Field(default=180, ge=20)
    max_document_chars: int = Field(default=1_000_000, ge=1)
    max_whole_chars: int = Field(
        default=20_000, ge=1, description="of a document with a vector: it is one passage"
    )
    group_documents: int = Field(default=200, ge=1, description="of one message, and of one commit")
    group_bytes: int = Field(default=4 << 20, ge=1024, description="their texts and vectors")
    groups_in_flight: int = Field(default=2, ge=1, description="commits at one time, per member")
    group_patience_s: float = Field(
        default=0.25, gt=0, description="a guild's commit takes so long: then another one beside it"
    )
    max_waiting_documents: int = Field(default=5_000, ge=1, description="not yet committed")
    max_waiting_bytes: int = Field(default=64 << 20, ge=1024, description="their texts and vectors")
    store_hold_s: float = Field(
        default=0.02,
        gt=0,
        description="of cutting documents or looking at guilds, before others have a turn",
    )
    store_attempts: int = Field(default=5, ge=1, description="when a race for a version is lost")
    retry_after_s: float = Field(default=1.0, gt=0)
    max_source_chars: int = Field(
        default=50_000, ge=1000, description="of an incident, task or entity; the rest is not found"
    )
    max_query_chars: int = Field(default=4_000, ge=1)
    candidates: int = Field(default=200, ge=10, description="passages each leg proposes")
    search_at_once_passages: int = Field(
        default=200_000,
        ge=0,
        description="an index of so many is searched on the event loop itself; a larger one beside",
    )
    search_at_once_numbers: int = Field(
        default=8_000_000,
        ge=0,
        description="the same, of vectors that have no code: 20,000 of 384 components",
    )
    fold_rows: int = Field(
        default=1024, ge=1, description="vectors without a code that get theirs together"
    )
    compress_rows: int = Field(
        default=20_000, ge=256, description="vectors above which they get codes"
    )
    max_dead_share: float = Field(default=0.25, gt=0, lt=1)
    tend_retry_s: float = Field(
        default=30.0,
        gt=0,
        description="before compressing or compacting that failed is tried again",
    )
    load_page: int = Field(default=200, ge=1, description="sources read at a time")
    tail_batch: int = Field(default=500, ge=1)
    tail_poll_s: float = Field(default=0.25, gt=0)
    tail_hurry_s: float = Field(default=0.01, gt=0, description="poll while a search waits for it")
    max_results: int = Field(default=100, ge=1)
    position_wait_s: float = Field(default=0.5, ge=0)
    ahead_timeout_s: float = Field(
        default=1.0, gt=0, description="reading what a search waits for out of turn"
    )
    max_position_wait_s: float = Field(
        default=10.0, ge=0, description="what a search may ask for instead"
    )
    max_removals: int = Field(
        default=10_000, ge=1, description="that an index has not read yet and a search leaves out"
    )
    removals_timeout_s: float = Field(
        default=1.0, gt=0, description="then a search says that it may be stale"
    )
    max_ahead: int = Field(
        default=2_000,
        ge=1,
        description="sources of others that were read and are not stored yet, with their texts",
    )
    snapshot_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / f"guild-index-{os.getuid()}",
        description="where the members of this node keep their indexes; nobody else may enter it",
    )
    snapshot_s: float = Field(default=300.0, gt=0, description="between two of one guild")
    snapshot_poll_s: float = Field(default=20.0, gt=0, description="between looks for one due")
    snapshot_max_age_s: float = Field(
        default=86_400.0, gt=0, description="then an index is built from the database"
    )
    snapshot_passages: int = Field(
        default=2_000, ge=0, description="below that building it anew is as quick"
    )
    shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="of every guild's index; one number for the whole deployment",
    )
    replicas: int = Field(
        default=0, ge=0, description="members that hold a shard; 0: all, which needs no second hop"
    )
    max_shard_vectors: int = Field(
        default=300_000, ge=1, description="above it a warning says how many shards are wanted"
    )
    gather_timeout_s: float = Field(
        default=2.0, gt=0, description="then an answer is partial and says so"
    )
    rebalance_after_s: float = Field(
        default=20.0, ge=0, description="members unchanged so long, before shards move"
    )
    rebalance_poll_s: float = Field(
        default=5.0, gt=0, description="between looks whether a shard may go"
    )
    feedback_kept: int = Field(
        default=500, ge=1, le=5_000, description="of a guild, the newest; the others are forgotten"
    )
    max_runbook_steps: int = Field(default=20, ge=1, le=100)
    answer_passages: int = Field(default=8, ge=1)
    answer_quotes: int = Field(default=3, ge=1)
