"""Everything of the RAG sage that crosses a process."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from actors.embedding.identity import ModelIdentity
from actors.events import Evidence, RunbookStep, SourceType
from actors.runtime.message import Command, Outcome, Position, Query

Scores = npt.NDArray[np.float32]
ContentType = Literal["text/markdown", "text/plain"]
DocumentAccess = Literal["public", "protected"]


class SearchMode(enum.StrEnum):
    """Which halves of the index are asked; exact compares with every vector in the database."""

    LEXICAL = "lexical"
    DENSE = "dense"
    HYBRID = "hybrid"
    EXACT = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """What became of a document that was sent.

    Attributes:
        changed: False where exactly this was stored already; then nothing was written and no event
            was published.
    """

    document_id: str
    external_id: str | None
    version: int
    content_sha256: str
    chunk_count: int
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenVector:
    """A vector that a document brings.

    Attributes:
        model: id of what made it; must be the one that the guild uses.
        values: little-endian float32, one behind the other; of any length but zero.
    """

    model: str
    values: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDocument(Command[StoredDocument]):
    """Stores a document, or the next version of the one with the same external id.

    Searchable by words as soon as a member has applied the reply's position; by meaning as soon as
    its passages are embedded. YAML front matter of a Markdown document fills in what the command
    leaves empty: ``title``, ``kind``, ``tags``, ``labels``, ``alerts`` and ``source_url``.

    Attributes:
        external_id: the sender's own name for it, unique in the guild. Without one, documents of
            the same content are one document.
        title: without one: the front matter's, else the first heading, else the external id.
        kind: ``runbook`` makes it evidence for incidents; None: the front matter's, else
            ``document``.
        alert_names: names of the alerts that it explains.
        labels: labels of the alerts that it explains.
        vector: of the whole content, which is then kept as one passage and never embedded;
            searchable by meaning as soon as by words.
        access_level: who may read it, everybody of the guild or everybody but guests; None: as
            before, at first everybody.
    """

    recalls: ClassVar[bool] = True

    content: str
    external_id: str | None = None
    title: str = ""
    content_type: ContentType = "text/markdown"
    source_url: str | None = None
    kind: str | None = None
    tags: tuple[str, ...] = ()
    alert_names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    vector: GivenVector | None = None
    access_level: DocumentAccess | None = None

    @property
    def key(self) -> str | None:
        """Versions of one document are stored one at a time."""
        return self.external_id


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDocuments(Command[tuple[Outcome[StoredDocument], ...]]):
    """Stores several documents, each for itself: one outcome for each, in their order.

    It is a parcel and nothing more: each document is a command of its own, under its own id, so a
    repeat stores what is missing and answers the first reply for the rest.

    Attributes:
        documents: of one guild; at most ``index.group_documents``. Versions of one document are
            stored in the order in which they stand here.
    """

    recalls: ClassVar[bool] = True

    documents: tuple[StoreDocument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One version of a document, in whole.

    Attributes:
        vector_sha256: of the vector that it brought, and its model; None: it brought none.
    """

    document_id: str
    external_id: str | None
    version: int
    title: str
    content: str
    content_type: ContentType
    content_sha256: str
    source_url: str | None
    kind: str
    tags: tuple[str, ...]
    alert_names: tuple[str, ...]
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    status: Literal["active", "deleted"]
    created_at: datetime
    updated_at: datetime
    vector_sha256: str | None = None
    access_level: DocumentAccess = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDocument(Query[Document]):
    """One document as it is, or as it was at ``version``; both must be open to the caller."""

    document_id: str
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDocument(Command[None]):
    """Takes a document out of every search; its versions stay readable for citations.

    Attributes:
        expected_version: where given and not the current one, `VersionConflict`.
    """

    document_id: str
    expected_version: int | None = None

    @property
    def key(self) -> str:
        """Changes of one document are made one at a time."""
        return self.document_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What may be found at all; they apply before the best are chosen. Empty: everything.

    Attributes:
        types: any of these four kinds of source.
        kinds: any of these, such as ``runbook``.
        statuses: any of these statuses of the source, such as ``pending`` of a task.
        access: any of these access levels of the source.
        tags: all of these.
        exclude: ids of sources that must not be found.
        since: changed at this moment or later.
        until: changed before this moment.
    """

    types: frozenset[SourceType] = frozenset()
    kinds: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    access: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegScore:
    """Where one leg of the search placed a hit: rank from 1, and the leg's own score."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One passage that was found.

    Attributes:
        version: of the source, as the passage was cut from it.
        score: 0 to 1, fused from the legs; comparable within one reply.
        legs: ``lexical`` and ``dense``, where they found it.
        char_start: of the passage in the source's text; ``text`` is what stands there.
    """

    type: SourceType
    id: str
    external_id: str | None
    version: int
    chunk_id: str
    kind: str
    title: str
    heading: str
    text: str
    score: float
    legs: Mapping[str, LegScore]
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHits:
    """The best passages first.

    Attributes:
        position: how far into the log the answering index had read.
        dense_position: up to where everything has its vector.
        stale: the database could not be asked what has left meanwhile.
        dense_pending: passages of this guild that are not embedded yet, or that a shard holds in
            another model than the query's and found by their words alone.
        dense_weight: share of the dense leg in the scores, 0 to 1.
        partial: some of the index did not answer in time.
        missing_shards: how many of its shards.
    """

    hits: tuple[Hit, ...]
    position: Position | None
    dense_position: Position | None
    dense_pending: int
    dense_weight: float
    stale: bool = False
    partial: bool = False
    missing_shards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(Query[SearchHits]):
    """The passages nearest to a text or a vector, over all four kinds of source.

    Attributes:
        text: what is asked; may be empty where a vector is given and no words are looked for.
        vector: instead of the text's own embedding, of the model in use; little-endian float32.
        min_position: the answer must know everything up to here; waits a little, else
            `StaleIndex`.
        dense_too: and it must know it by its meaning as well.
        wait_s: instead of the setting; at most ``index.max_position_wait_s``.
    """

    text: str = ""
    vector: bytes | None = None
    mode: SearchMode = SearchMode.HYBRID
    filters: Filters = Filters()
    top_k: int = 10
    min_position: Position | None = None
    dense_too: bool = False
    wait_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFound:
    """What the guild knows about an incident, best first.

    Attributes:
        similar: earlier incidents and knowledge, reviews among it.
        open_work: tasks that are neither done nor cancelled.
        runbook: the best runbook with strong evidence.
        steps: what that runbook says to do; empty without one.
        stale: as in `SearchHits`.
        partial: some of the index did not answer in time.
        missing_shards: how many of its shards.
    """

    similar: tuple[Evidence, ...] = ()
    runbooks: tuple[Evidence, ...] = ()
    open_work: tuple[Evidence, ...] = ()
    runbook: Evidence | None = None
    steps: tuple[RunbookStep, ...] = ()
    stale: bool = False
    partial: bool = False
    missing_shards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FindEvidence(Query[EvidenceFound]):
    """Asks for the dossier of an incident.

    Attributes:
        incident_id: never part of its own dossier.
        labels: of the incident; the ones that name one machine count for little.
        limit: lines in each of the three lists.
        min_position: as in `Search`.
    """

    incident_id: str
    title: str
    description: str = ""
    alert_names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook_urls: tuple[str, ...] = ()
    affected_systems: tuple[str, ...] = ()
    limit: int = 5
    min_position: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A verbatim quotation and where it stands.

    Attributes:
        char_start: of the quote in the text of that version of the source.
        sha256: of the quote's UTF-8.
        verified: the quote was compared with the stored text of that version.
    """

    source_type: SourceType
    source_id: str
    version: int
    chunk_id: str
    char_start: int
    char_end: int
    quote: str
    sha256: str
    score: float
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer in the sources' own words, or none.

    Attributes:
        text: the quotes, one a line; empty where ``abstained``.
        abstained: the evidence is too thin to say anything.
        retrieved: the passages that were looked at, best first.
        stale: as in `SearchHits`.
        partial: some of the index did not answer in time.
        missing_shards: how many of its shards.
    """

    question: str
    text: str
    citations: tuple[Citation, ...]
    abstained: bool
    retrieved: tuple[Hit, ...]
    stale: bool = False
    partial: bool = False
    missing_shards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Query[Answer]):
    """Asks a question; answered only with sentences that stand in the sources."""

    question: str
    filters: Filters = Filters()
    min_position: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """How far the index of this guild is, as the answering member sees it.

    Attributes:
        position: searchable by words up to here.
        dense_position: and by meaning.
        shards: that the index is divided into.
        partial: some of the index did not answer in time.
        missing_shards: how many of its shards.
    """

    state: Literal["initializing", "ready"]
    position: Position | None
    dense_position: Position | None
    sources: int
    passages: int
    dense_pending: int
    shards: int = 1
    partial: bool = False
    missing_shards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GetIndexStatus(Query[IndexStatus]):
    """Asks how far search is behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntWeight:
    """What a guild has learnt about the share of the dense leg.

    Attributes:
        bias: added to the log-odds of the share that a query sets, -2 to 2; 0: nothing is learnt.
        even_share: what becomes of a share of a half.
        feedbacks: pairs of a query and a source that were judged, and count.
        since: when the oldest of them was judged; None: there is none.
    """

    bias: float
    even_share: float
    feedbacks: int
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveFeedback(Command[LearntWeight]):
    """Somebody says of a source whether it answers a query; replies with what is known then.

    Of one query and one source the last word counts, whoever says it.

    Attributes:
        filters: that were asked with.
        relevant: whether it answers the query.
    """

    query: str
    source_id: str
    relevant: bool
    filters: Filters = Filters()


@dataclass(frozen=True, slots=True, kw_only=True)
class GetLearntWeight(Query[LearntWeight]):
    """Asks what the guild has learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetFeedback(Command[LearntWeight]):
    """Forgets all feedback of the guild: its queries set the share alone again."""


# --- between members: one shard of an index -------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedMeaning:
    """What the dense leg of a shard is asked with.

    Attributes:
        vector: of unit length, little-endian float32.
        model: that made it; a shard whose vectors are of another one leaves its dense leg out.
    """

    vector: bytes
    model: ModelIdentity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardHits:
    """What one shard has for a search; the scores of all shards are fused by who asked.

    Attributes:
        lexical: BM25 of each candidate, 0 where no word is shared.
        dense: cosine of each candidate; NaN where there is no vector yet.
        places: of ``hits`` among the candidates, ascending.
        hits: those that can be among the best, without scores.
        rarity: of the text's terms in this shard, where it was asked for.
        passages: of the shard.
        by_meaning: its dense leg was asked.
        bias: what the guild had learnt when the shard was asked, `LearntWeight.bias`.
        position: as in `SearchHits`, and so are the next three.
    """

    lexical: Scores
    dense: Scores
    places: npt.NDArray[np.int64]
    hits: tuple[Hit, ...]
    rarity: Mapping[str, float]
    passages: int
    by_meaning: bool
    position: Position | None
    dense_position: Position | None
    dense_pending: int
    stale: bool
    bias: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchShard(Query[ShardHits]):
    """Asks one shard; `NotHere` where the member does not hold it.

    Attributes:
        search: what is asked.
        meaning: of the text; None leaves the dense leg out.
        shard: which one.
        shards: that the index is divided into; where the member divides it otherwise, `NotHere`.
        weigh: how rare the text's terms are is wanted, too.
    """

    search: Search
    meaning: AskedMeaning | None
    shard: int
    shards: int
    weigh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEvidence:
    """What one shard knows about an incident, best first; see `EvidenceFound`."""

    similar: tuple[Evidence, ...]
    runbooks: tuple[Evidence, ...]
    open_work: tuple[Evidence, ...]
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FindShardEvidence(Query[ShardEvidence]):
    """Asks one shard for the dossier of an incident; the fields as in `SearchShard`."""

    find: FindEvidence
    meaning: AskedMeaning | None
    shard: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GetShardStatus(Query[IndexStatus]):
    """Asks how far one shard is; `NotHere` where the member does not hold it."""

    shard: int
    shards: int
