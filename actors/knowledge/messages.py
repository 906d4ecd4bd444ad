"""Everything of the Knowledge sage that crosses a process."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType

from actors.runtime.message import Command, Query, ReplyT

EntityId = NewType("EntityId", str)

ContentType = Literal["text/markdown", "text/plain"]


class EntityStatus(enum.StrEnum):
    """draft → active ⇄ inactive → archived; any → deleted; deleted → active by an elder."""

    DRAFT = "draft"
    ACTIVE = "active"
    INACTIVE = "inactive"
    ARCHIVED = "archived"
    DELETED = "deleted"


class AccessLevel(enum.StrEnum):
    """Who may read: everybody, everybody but guests, or the owner (and the guild's admins)."""

    PUBLIC = "public"
    PROTECTED = "protected"
    PRIVATE = "private"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One version of something the guild has learned, in whole.

    Attributes:
        quality_score: 0 to 1, computed from the entity itself (`domain.quality`).
        relevance_score: 0 to 1, as stated by who wrote it.
        confidence_score: 0 to 1, likewise.
        source_references: where it comes from, such as the ids of an incident and its review.
        labels: labels of the alerts that it explains.
        alert_names: names of the alerts that it explains.
        origin_id: what it was made from by itself, such as a review; at most one entity each.
        author_id: who wrote it down first.
        owner_id: who may read it whatever its access level.
        deleted_at: since when it is deleted.
    """

    entity_id: EntityId
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
    labels: Mapping[str, str]
    alert_names: tuple[str, ...]
    metadata: Mapping[str, Any]
    quality_score: float
    relevance_score: float
    confidence_score: float
    origin_id: str | None
    author_id: str
    owner_id: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySummary:
    """An entity in a list: everything but its content."""

    entity_id: EntityId
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
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityPage:
    """Some entities, newest first; ``next_cursor`` None: this was the last page."""

    entities: tuple[EntitySummary, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSummary:
    """That a version exists; `GetEntity` with its number reads it."""

    version: int
    title: str
    status: EntityStatus
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """Some versions of one entity, newest first."""

    entity_id: EntityId
    versions: tuple[VersionSummary, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A node of the category tree; the default set has no parents.

    Attributes:
        built_in: one of the default set, which every guild has.
    """

    category_id: str
    name: str
    description: str
    parent_id: str | None
    built_in: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """The whole tree, by id."""

    categories: tuple[Category, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateEntity(Command[Entity]):
    """Writes something down; the caller is author and owner.

    Attributes:
        content: at most 256 KiB of UTF-8.
        status: ``draft`` or ``active``.
    """

    title: str
    content: str
    content_type: ContentType = "text/markdown"
    summary: str = ""
    category_id: str = "general"
    status: Literal[EntityStatus.DRAFT, EntityStatus.ACTIVE] = EntityStatus.ACTIVE
    access_level: AccessLevel = AccessLevel.PROTECTED
    tags: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    source_references: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    alert_names: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    relevance_score: float = 0.5
    confidence_score: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityCommand(Command[ReplyT]):
    """Every command about one entity: its changes are made one at a time."""

    entity_id: str

    @property
    def key(self) -> str:
        """The id."""
        return self.entity_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateEntity(EntityCommand[Entity]):
    """Writes the next version: changes what is given and leaves the rest. Equal: no new version.

    Attributes:
        expected_version: not the current one: `VersionConflict`.
        access_level: only the owner or an admin may change it.
    """

    expected_version: int
    title: str | None = None
    content: str | None = None
    content_type: ContentType | None = None
    summary: str | None = None
    category_id: str | None = None
    access_level: AccessLevel | None = None
    tags: tuple[str, ...] | None = None
    keywords: tuple[str, ...] | None = None
    source_references: tuple[str, ...] | None = None
    labels: Mapping[str, str] | None = None
    alert_names: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] | None = None
    relevance_score: float | None = None
    confidence_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStatus(EntityCommand[Entity]):
    """One step of the life cycle, other than deleting and restoring.

    Attributes:
        expected_version: where given and not the current one, `VersionConflict`.
    """

    status: Literal[EntityStatus.ACTIVE, EntityStatus.INACTIVE, EntityStatus.ARCHIVED]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteEntity(EntityCommand[None]):
    """Hides it from every list and search at once; its versions stay. A repeat is no error.

    Attributes:
        expected_version: where given and not the current one, `VersionConflict`.
    """

    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreEntity(EntityCommand[Entity]):
    """Makes a deleted entity active again, within the retention time; needs ``delete``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCategory(Command[Category]):
    """Adds a node to the tree; one that exists is a `ValidationError`."""

    category_id: str
    name: str
    description: str = ""
    parent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetEntity(Query[Entity]):
    """One entity as it is, or as it was at ``version``. A deleted one: only by version."""

    entity_id: str
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListVersions(Query[VersionPage]):
    """Which versions an entity has, newest first."""

    entity_id: str
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntities(Query[EntityPage]):
    """Entities the caller may read and that match everything given, newest first.

    Attributes:
        statuses: any of these; empty: any but deleted. Deleted ones are listed for elders only.
        limit: 1 to 100.
        cursor: ``next_cursor`` of the page before, with the same filters.
    """

    statuses: frozenset[EntityStatus] = frozenset()
    category_id: str | None = None
    tag: str | None = None
    author_id: str | None = None
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCategories(Query[Categories]):
    """The category tree."""
