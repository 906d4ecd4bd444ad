"""Documents, search and answers over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from actors.events import SourceType
from actors.rag.messages import (
    Answer,
    Ask,
    ContentType,
    DocumentAccess,
    Filters,
    GiveFeedback,
    GivenVector,
    IndexStatus,
    Search,
    SearchHits,
    SearchMode,
    StoreDocument,
)
from actors.runtime.message import Context, Position
from serve_app.call import Origin, parse_position
from serve_app.floats import Floats
from serve_app.schemas.common import FieldErrorView, example
from serve_app.strict import (
    Integer,
    Labels,
    Line,
    Moment,
    Reference,
    Shown,
    Strict,
    Tags,
    Text,
    View,
    Words,
)

_Names = Annotated[tuple[Annotated[Line, Field(max_length=200)], ...], Field(max_length=50)]
_Metadata = Annotated[dict[Annotated[Line, Field(max_length=128)], Any], Field(max_length=100)]
_Kind = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", max_length=64)]
_POSITION = r"^[1-9][0-9]{0,8}-[0-9]{1,19}-[0-9]{1,18}$"


class VectorIn(Strict):
    """A vector of a document's whole content.

    Attributes:
        values: numbers, or the base64 of little-endian float32, which is a third as long and many
            times as quick to read.
    """

    model: Annotated[Line, Field(max_length=200)]
    values: Floats

    def to_vector(self) -> GivenVector:
        """The vector as the sage takes it."""
        return GivenVector(model=self.model, values=self.values)


class DocumentIn(Strict):
    """A document, or the next version of the one with the same external id."""

    content: Words = Field(max_length=1_000_000)
    external_id: Annotated[Line, Field(max_length=512)] | None = None
    title: Text = Field(default="", max_length=500)
    content_type: ContentType = "text/markdown"
    source_url: Annotated[Line, Field(max_length=2_048)] | None = None
    kind: _Kind | None = None
    tags: Tags = ()
    alert_names: _Names = ()
    labels: Labels = Field(default_factory=dict)
    metadata: _Metadata = Field(default_factory=dict)
    vector: VectorIn | None = None
    access_level: DocumentAccess | None = None

    model_config = ConfigDict(
        json_schema_extra=example(
            external_id="runbooks/disk-full.md",
            content="# Disk full\n\n1. Find what grows.\n2. Rotate the logs.",
            kind="runbook",
            alert_names=["DiskFull"],
        )
    )

    def to_message(self, origin: Origin) -> StoreDocument:
        """The command that stores it."""
        return StoreDocument(
            **origin,
            content=self.content,
            external_id=self.external_id,
            title=self.title,
            content_type=self.content_type,
            source_url=self.source_url,
            kind=self.kind,
            tags=self.tags,
            alert_names=self.alert_names,
            labels=self.labels,
            metadata=self.metadata,
            vector=None if self.vector is None else self.vector.to_vector(),
            access_level=self.access_level,
        )

    @property
    def name(self) -> tuple[str, str]:
        """What makes two documents of a batch versions of one."""
        if self.external_id is not None:
            return "external_id", self.external_id
        return "content", self.content

    @property
    def size(self) -> int:
        """Roughly its bytes in a message."""
        return len(self.content) + (0 if self.vector is None else len(self.vector.values))


class DocumentsIn(Strict):
    """Several documents; each succeeds or fails for itself."""

    documents: tuple[DocumentIn, ...] = Field(min_length=1)

    model_config = ConfigDict(
        json_schema_extra=example(
            documents=[{"external_id": "runbooks/disk-full.md", "content": "# Disk full\n\n…"}]
        )
    )


class StoredView(View):
    """What became of a document."""

    document_id: str
    external_id: str | None
    version: int
    content_sha256: str
    chunk_count: int
    changed: bool


class BatchItemView(View):
    """What became of one document of a batch: ``document`` or ``error``.

    Attributes:
        status: the HTTP status that it would have had alone.
    """

    status: int
    document: StoredView | None = None
    error: FieldErrorView | None = None


class BatchView(View):
    """One entry for each document, in the order they were sent."""

    stored: int
    failed: int
    items: tuple[BatchItemView, ...]


class DocumentView(View):
    """One version of a document."""

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
    labels: dict[str, str]
    metadata: dict[str, Any]
    access_level: DocumentAccess
    status: Literal["active", "deleted"]
    created_at: Shown
    updated_at: Shown


class FiltersIn(Strict):
    """What may be found at all; they apply before the best are chosen."""

    types: list[SourceType] = Field(default_factory=list, max_length=4)
    kinds: list[_Kind] = Field(default_factory=list, max_length=20)
    statuses: list[_Kind] = Field(default_factory=list, max_length=20)
    access_levels: list[_Kind] = Field(default_factory=list, max_length=4)
    tags: Tags = ()
    exclude: list[Reference] = Field(default_factory=list, max_length=100)
    since: Moment | None = None
    until: Moment | None = None

    def to_filters(self) -> Filters:
        """The filters."""
        return Filters(
            types=frozenset(self.types),
            kinds=frozenset(self.kinds),
            statuses=frozenset(self.statuses),
            access=frozenset(self.access_levels),
            tags=frozenset(self.tags),
            exclude=frozenset(self.exclude),
            since=self.since,
            until=self.until,
        )


class _Positioned(Strict):
    filters: FiltersIn = Field(default_factory=FiltersIn)
    min_position: str | None = Field(default=None, pattern=_POSITION)

    def _at_least(self, header: Position | None) -> Position | None:
        """The later of the body's position and the header's."""
        given = None if self.min_position is None else parse_position(self.min_position)
        return _latest(given, header)


class ConsistencyIn(Strict):
    """What the answer must know, and how long it may take until it does.

    Attributes:
        min_position: of a write that must be in the answer.
        legs: ``dense`` where it must be found by its meaning, too; that takes an embedding.
        timeout_ms: then the answer is 504.
    """

    min_position: str | None = Field(default=None, pattern=_POSITION)
    legs: list[Literal["lexical", "dense"]] = Field(default=["lexical"], min_length=1, max_length=2)
    timeout_ms: Annotated[Integer, Field(le=10_000)] = 500


class SearchIn(_Positioned):
    """The passages nearest to a text or to a vector of the model in use."""

    query: Words | None = Field(default=None, max_length=4_096)
    vector: Floats | None = None
    mode: SearchMode = SearchMode.HYBRID
    top_k: Annotated[Integer, Field(ge=1, le=100)] = 10
    consistency: ConsistencyIn | None = None

    model_config = ConfigDict(
        json_schema_extra=example(
            query="connection pool exhausted", filters={"types": ["document"]}, top_k=5
        )
    )

    @field_validator("query")
    @classmethod
    def _at_most_4_kib(cls, query: str | None) -> str | None:
        return None if query is None else _bounded(query)

    @model_validator(mode="after")
    def _something_to_look_for(self) -> "SearchIn":
        by_words = self.mode in {SearchMode.LEXICAL, SearchMode.HYBRID}
        if self.query is None and (by_words or self.vector is None):
            raise ValueError("query is needed, or a vector with mode dense or exact")
        return self

    def to_message(self, context: Context, header: Position | None) -> Search:
        """The question; ``header`` is the position of the ``Guild-Position`` header."""
        wanted = self.consistency or ConsistencyIn()
        stated = None if wanted.min_position is None else parse_position(wanted.min_position)
        return Search(
            context=context,
            text=self.query or "",
            vector=self.vector,
            mode=self.mode,
            filters=self.filters.to_filters(),
            top_k=self.top_k,
            min_position=_latest(self._at_least(header), stated),
            dense_too="dense" in wanted.legs,
            wait_s=None if self.consistency is None else wanted.timeout_ms / 1_000,
        )


class QueryIn(_Positioned):
    """A question, answered only with sentences that stand in the sources."""

    question: Words = Field(max_length=4_096)

    model_config = ConfigDict(
        json_schema_extra=example(question="What do I do when the disk is full?")
    )

    @field_validator("question")
    @classmethod
    def _at_most_4_kib(cls, question: str) -> str:
        return _bounded(question)

    def to_message(self, context: Context, header: Position | None) -> Ask:
        """The question; ``header`` is the position of the ``Guild-Position`` header."""
        return Ask(
            context=context,
            question=self.question,
            filters=self.filters.to_filters(),
            min_position=self._at_least(header),
        )


class FeedbackIn(Strict):
    """Whether a hit answers the query that found it.

    Attributes:
        filters: that were asked with.
        document: the id of the hit, of whichever of the four kinds.
    """

    query: Words = Field(max_length=4_096)
    document: Reference
    relevant: Annotated[bool, Field(strict=True)]
    filters: FiltersIn = Field(default_factory=FiltersIn)

    model_config = ConfigDict(
        json_schema_extra=example(
            query="connection pool exhausted",
            document="doc_01arz3ndektsv4rrffq69g5fav",
            relevant=True,
        )
    )

    @field_validator("query")
    @classmethod
    def _at_most_4_kib(cls, query: str) -> str:
        return _bounded(query)

    def to_message(self, origin: Origin) -> GiveFeedback:
        """The command."""
        return GiveFeedback(
            **origin,
            query=self.query,
            source_id=self.document,
            relevant=self.relevant,
            filters=self.filters.to_filters(),
        )


class WeightView(View):
    """What a guild has learnt about the share of meaning in its searches.

    Attributes:
        bias: 0 until enough queries agree.
        even_share: what becomes of a share of a half.
        feedbacks: that count.
        since: when the oldest of them was given.
    """

    bias: float
    even_share: float
    feedbacks: int
    since: Shown | None


class FeedbackView(View):
    """The feedback is kept; what the guild knows with it."""

    recorded: Literal[True] = True
    weight: WeightView


class LegView(View):
    """Where one leg of the search placed a hit."""

    rank: int
    score: float


class HitView(View):
    """One passage that was found."""

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
    legs: dict[str, LegView]
    char_start: int
    char_end: int


class HitsView(View):
    """The best passages first."""

    hits: tuple[HitView, ...]
    position: str | None
    dense_position: str | None
    dense_pending: int
    dense_weight: float
    stale: bool
    partial: bool
    missing_shards: int

    @classmethod
    def from_reply(cls, reply: SearchHits) -> "HitsView":
        """The hits, with the position as a text."""
        return cls(
            hits=tuple(HitView.model_validate(hit) for hit in reply.hits),
            position=_text(reply.position),
            dense_position=_text(reply.dense_position),
            dense_pending=reply.dense_pending,
            dense_weight=reply.dense_weight,
            stale=reply.stale,
            partial=reply.partial,
            missing_shards=reply.missing_shards,
        )


class CitationView(View):
    """A verbatim quotation and where it stands."""

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


class AnswerView(View):
    """An answer in the sources' own words, or none."""

    question: str
    text: str
    citations: tuple[CitationView, ...]
    abstained: bool
    retrieved: tuple[HitView, ...]
    stale: bool
    partial: bool
    missing_shards: int

    @classmethod
    def from_reply(cls, reply: Answer) -> "AnswerView":
        """The answer."""
        return cls.model_validate(reply)


class IndexView(View):
    """How far search is behind."""

    state: Literal["initializing", "ready"]
    position: str | None
    dense_position: str | None
    sources: int
    passages: int
    dense_pending: int
    shards: int
    partial: bool
    missing_shards: int

    @classmethod
    def from_reply(cls, reply: IndexStatus) -> "IndexView":
        """The state, with the position as a text."""
        fields: Mapping[str, Any] = {
            "state": reply.state,
            "position": _text(reply.position),
            "dense_position": _text(reply.dense_position),
            "sources": reply.sources,
            "passages": reply.passages,
            "dense_pending": reply.dense_pending,
            "shards": reply.shards,
            "partial": reply.partial,
            "missing_shards": reply.missing_shards,
        }
        return cls(**fields)


def _text(position: Position | None) -> str | None:
    return None if position is None else str(position)


def _latest(*positions: Position | None) -> Position | None:
    return max((one for one in positions if one is not None), default=None)


def _bounded(text: str) -> str:
    if len(text.encode()) > 4_096:
        raise ValueError("has more than 4096 bytes")
    return text
