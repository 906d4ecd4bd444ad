"""What the RAG sage needs kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.index.passage import Passage, Source, Vector
from actors.rag.domain import Chunk, Indexed
from actors.rag.messages import Document, Filters, Hit
from actors.runtime.message import Command, GuildId, ReplyT


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One source as it shall be, with its passages and, where it is one, its document.

    Attributes:
        document: the new version of a document; None for the other three kinds.
        chunks: of the source; empty where it was removed.
    """

    source: Indexed
    chunks: Sequence[Chunk]
    document: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A passage that waits for its vector."""

    chunk_id: str
    source_id: str
    to_embed: str


Loaded = tuple[Source, list[Passage]]


class RagStore(Protocol):
    """Documents, sources and passages, one guild at a time."""

    async def find(
        self, guild_id: GuildId, external_id: str | None, content_sha256: str
    ) -> Document | None:
        """The document of this external id; without one, the nameless one of this content."""
        ...

    async def document(
        self, guild_id: GuildId, document_id: str, version: int | None = None
    ) -> Document:
        """The document as it is, deleted ones among them, or as it was at ``version``.

        Raises:
            NotFound: this guild has no such document, or it never came to that version.
        """
        ...

    async def source(self, guild_id: GuildId, source_id: str) -> Indexed | None: ...

    async def text(self, guild_id: GuildId, source_id: str, version: int) -> str | None:
        """The text that the passages of that version were cut from, where it is still kept."""
        ...

    async def commit(
        self, cause: Command[ReplyT], reply: ReplyT, change: Change | None = None
    ) -> None:
        """Writes rows, the event and the command's reply in one transaction.

        Passages whose text was embedded before keep their vectors. Without a change only the
        reply is kept.

        Raises:
            AlreadyHandled: the command took effect before.
            VersionConflict: somebody else stored a version meanwhile.
        """
        ...

    async def guilds(self) -> list[GuildId]:
        """Every guild."""
        ...

    async def page(self, guild_id: GuildId, after: str, limit: int) -> list[Loaded]:
        """At most ``limit`` sources that can be found, with ids above ``after``, by id."""
        ...

    async def load(self, guild_id: GuildId, source_ids: Sequence[str]) -> list[Loaded]:
        """Those of these sources that can be found."""
        ...

    async def exact(
        self, guild_id: GuildId, vector: Vector, filters: Filters, limit: int
    ) -> list[Hit]:
        """The passages nearest to a vector of unit length, each compared; best first.

        The score of a hit is its cosine; only passages that have a vector can be found.
        """
        ...

    async def claim(self, guild_id: GuildId, limit: int, claim_s: float) -> list[Pending]:
        """Passages without a vector that no other member has claimed; ours for ``claim_s``."""
        ...

    async def release(self, guild_id: GuildId, chunk_ids: Sequence[str]) -> None:
        """Gives a claim back, so that nobody has to wait for its end."""
        ...

    async def attach(
        self, cause: Command[None], vectors: Mapping[str, Sequence[float]], model_id: str
    ) -> None:
        """Writes vectors by chunk id, with an event for each source that has them all now.

        A passage that was replaced meanwhile, or has its vector, is left as it is.
        """
        ...
