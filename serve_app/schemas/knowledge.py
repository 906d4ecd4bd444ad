"""Knowledge entities and categories over HTTP."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from actors.knowledge.messages import (
    AccessLevel,
    ChangeStatus,
    ContentType,
    CreateCategory,
    CreateEntity,
    EntityStatus,
    ListEntities,
    UpdateEntity,
)
from actors.runtime.message import Context
from serve_app.call import Origin
from serve_app.schemas.common import Paging, Person, example
from serve_app.strict import (
    Fraction,
    Labels,
    Line,
    References,
    Shown,
    Strict,
    Tags,
    Text,
    View,
    Words,
)

_CategoryId = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", max_length=64)]
_Names = Annotated[tuple[Annotated[Line, Field(max_length=200)], ...], Field(max_length=50)]
_Metadata = Annotated[dict[Annotated[Line, Field(max_length=128)], Any], Field(max_length=100)]


class EntityIn(Strict):
    """Something the guild has learned."""

    title: Line = Field(max_length=500)
    content: Words = Field(max_length=262_144)
    content_type: ContentType = "text/markdown"
    summary: Text = Field(default="", max_length=1_000)
    category_id: _CategoryId = "general"
    status: Literal[EntityStatus.DRAFT, EntityStatus.ACTIVE] = EntityStatus.ACTIVE
    access_level: AccessLevel = AccessLevel.PROTECTED
    tags: Tags = ()
    keywords: _Names = ()
    source_references: References = ()
    labels: Labels = Field(default_factory=dict)
    alert_names: _Names = ()
    metadata: _Metadata = Field(default_factory=dict)
    relevance_score: Fraction = 0.5
    confidence_score: Fraction = 0.5

    model_config = ConfigDict(
        json_schema_extra=example(
            title="A full log volume stops the checkout",
            content="# What happens\n\nThe checkout writes its journal to the log volume.",
            category_id="troubleshooting",
            tags=["storage", "checkout"],
        )
    )

    def to_message(self, origin: Origin) -> CreateEntity:
        """The command that writes it down."""
        return CreateEntity(
            **origin,
            title=self.title,
            content=self.content,
            content_type=self.content_type,
            summary=self.summary,
            category_id=self.category_id,
            status=self.status,
            access_level=self.access_level,
            tags=self.tags,
            keywords=self.keywords,
            source_references=self.source_references,
            labels=self.labels,
            alert_names=self.alert_names,
            metadata=self.metadata,
            relevance_score=self.relevance_score,
            confidence_score=self.confidence_score,
        )


class EntityPatch(Strict):
    """Fields to change; what is absent or null stays."""

    title: Line | None = Field(default=None, max_length=500)
    content: Words | None = Field(default=None, max_length=262_144)
    content_type: ContentType | None = None
    summary: Text | None = Field(default=None, max_length=1_000)
    category_id: _CategoryId | None = None
    access_level: AccessLevel | None = None
    tags: Tags | None = None
    keywords: _Names | None = None
    source_references: References | None = None
    labels: Labels | None = None
    alert_names: _Names | None = None
    metadata: _Metadata | None = None
    relevance_score: Fraction | None = None
    confidence_score: Fraction | None = None

    model_config = ConfigDict(json_schema_extra=example(summary="Watch the log volume."))

    def to_message(self, origin: Origin, entity_id: str, version: int) -> UpdateEntity:
        """The command that writes the next version."""
        return UpdateEntity(
            **origin,
            entity_id=entity_id,
            expected_version=version,
            title=self.title,
            content=self.content,
            content_type=self.content_type,
            summary=self.summary,
            category_id=self.category_id,
            access_level=self.access_level,
            tags=self.tags,
            keywords=self.keywords,
            source_references=self.source_references,
            labels=self.labels,
            alert_names=self.alert_names,
            metadata=self.metadata,
            relevance_score=self.relevance_score,
            confidence_score=self.confidence_score,
        )


class StatusIn(Strict):
    """The next step of the life cycle."""

    status: Literal[EntityStatus.ACTIVE, EntityStatus.INACTIVE, EntityStatus.ARCHIVED]

    model_config = ConfigDict(json_schema_extra=example(status="archived"))

    def to_message(self, origin: Origin, entity_id: str, version: int | None) -> ChangeStatus:
        """The command."""
        return ChangeStatus(
            **origin, entity_id=entity_id, status=self.status, expected_version=version
        )


class CategoryIn(Strict):
    """A node of the category tree."""

    category_id: _CategoryId
    name: Line = Field(max_length=200)
    description: Text = Field(default="", max_length=1_000)
    parent_id: _CategoryId | None = None

    model_config = ConfigDict(
        json_schema_extra=example(category_id="storage", name="Storage", parent_id="general")
    )

    def to_message(self, origin: Origin) -> CreateCategory:
        """The command that adds it."""
        return CreateCategory(
            **origin,
            category_id=self.category_id,
            name=self.name,
            description=self.description,
            parent_id=self.parent_id,
        )


class EntityFilter(Paging):
    """Which entities are listed; nothing given: all but the deleted ones."""

    status: list[EntityStatus] = Field(default_factory=list, max_length=10)
    category_id: _CategoryId | None = None
    tag: Annotated[Line, Field(max_length=64)] | None = None
    author_id: Person | None = None

    def to_message(self, context: Context) -> ListEntities:
        """The question."""
        return ListEntities(
            context=context,
            statuses=frozenset(self.status),
            category_id=self.category_id,
            tag=self.tag,
            author_id=self.author_id,
            limit=self.limit,
            cursor=self.cursor,
        )


class EntityView(View):
    """One version of an entity, in whole."""

    entity_id: str
    title: str
    content: str
    content_type: ContentType
    summary: str
    category_id: str
    status: EntityStatus
    access_level: AccessLevel
    tags: tuple[str, ...]
    keywords: tuple[str, ...]
    source_references: tuple[str, ...]
    labels: dict[str, str]
    alert_names: tuple[str, ...]
    metadata: dict[str, Any]
    quality_score: float
    relevance_score: float
    confidence_score: float
    origin_id: str | None
    author_id: str
    owner_id: str
    version: int
    created_at: Shown
    created_by: str
    updated_at: Shown
    updated_by: str
    deleted_at: Shown | None


class EntitySummaryView(View):
    """An entity in a list."""

    entity_id: str
    title: str
    summary: str
    category_id: str
    status: EntityStatus
    access_level: AccessLevel
    tags: tuple[str, ...]
    quality_score: float
    author_id: str
    owner_id: str
    version: int
    created_at: Shown
    updated_at: Shown


class EntitiesView(View):
    """A page of entities, newest first."""

    items: tuple[EntitySummaryView, ...] = Field(validation_alias="entities")
    next_cursor: str | None


class VersionView(View):
    """That a version exists."""

    version: int
    title: str
    status: EntityStatus
    updated_at: Shown
    updated_by: str


class VersionsView(View):
    """A page of an entity's versions, newest first."""

    entity_id: str
    items: tuple[VersionView, ...] = Field(validation_alias="versions")
    next_cursor: str | None


class CategoryView(View):
    """A node of the category tree."""

    category_id: str
    name: str
    description: str
    parent_id: str | None
    built_in: bool


class CategoriesView(View):
    """The whole tree, by id."""

    items: tuple[CategoryView, ...] = Field(validation_alias="categories")
