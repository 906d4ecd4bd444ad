"""An entity, its versions and its life cycle.

draft → active ⇄ inactive → archived; any → deleted; deleted → active. Every change is a version of
its own, with one event that carries the whole text. What is so already changes nothing.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from actors import checks
from actors.errors import (
    InvalidTransition,
    NotAuthorized,
    NotFound,
    ValidationError,
    VersionConflict,
)
from actors.events import KnowledgeCreated, KnowledgeDeleted, KnowledgeUpdated, Payload
from actors.knowledge.domain import access, categories
from actors.knowledge.domain.quality import quality
from actors.knowledge.messages import (
    Category,
    ChangeStatus,
    CreateEntity,
    DeleteEntity,
    Entity,
    EntityId,
    EntityStatus,
    RestoreEntity,
    UpdateEntity,
)
from actors.runtime.message import Permission

TITLE_MAX = 500
SUMMARY_MAX = 1000
CONTENT_MAX_BYTES = 256 * 1024
KEYWORDS_MAX = 50
METADATA_MAX_BYTES = 16 * 1024
_METADATA_DEPTH = 8

_NEXT: Mapping[EntityStatus, frozenset[EntityStatus]] = {
    EntityStatus.DRAFT: frozenset({EntityStatus.ACTIVE}),
    EntityStatus.ACTIVE: frozenset({EntityStatus.INACTIVE}),
    EntityStatus.INACTIVE: frozenset({EntityStatus.ACTIVE, EntityStatus.ARCHIVED}),
    EntityStatus.ARCHIVED: frozenset(),
    EntityStatus.DELETED: frozenset(),
}
_PATCHED = tuple(
    field.name
    for field in dataclasses.fields(UpdateEntity)
    if field.name in Entity.__dataclass_fields__ and field.name != "entity_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The next version of an entity and its event; without one nothing is to be written."""

    entity: Entity
    event: Payload | None = None


def create(
    command: CreateEntity, entity_id: EntityId, known: Mapping[str, Category], now: datetime
) -> Change:
    """A new entity of the caller, checked field by field."""
    principal_id = command.context.caller.principal_id
    given = {
        field.name: getattr(command, field.name)
        for field in dataclasses.fields(CreateEntity)
        if field.name in Entity.__dataclass_fields__
    }
    entity = Entity(
        **given,
        entity_id=entity_id,
        quality_score=0.0,
        origin_id=None,
        author_id=principal_id,
        owner_id=principal_id,
        version=1,
        created_at=now,
        created_by=principal_id,
        updated_at=now,
        updated_by=principal_id,
        deleted_at=None,
    )
    categories.existing("category_id", command.category_id, known)
    return first(checked(entity))


def update(
    entity: Entity, command: UpdateEntity, known: Mapping[str, Category], now: datetime
) -> Change:
    """Other fields, in the next version."""
    caller = command.context.caller
    _at_version(entity, command.expected_version)
    if command.access_level not in {None, entity.access_level}:
        access.owner(entity, caller)
    if command.category_id is not None:
        categories.existing("category_id", command.category_id, known)
    values = {name: getattr(command, name) for name in _PATCHED}
    given = {name: value for name, value in values.items() if value is not None}
    return following(entity, checked(replace(entity, **given)), now, caller.principal_id)


def change_status(entity: Entity, command: ChangeStatus, now: datetime) -> Change:
    """One step of the life cycle."""
    _at_version(entity, command.expected_version)
    wanted = EntityStatus(command.status)
    if wanted is not entity.status and wanted not in _NEXT[entity.status]:
        raise InvalidTransition("entity", entity.status, wanted)
    principal_id = command.context.caller.principal_id
    return following(entity, replace(entity, status=wanted), now, principal_id)


def delete(entity: Entity, command: DeleteEntity, now: datetime) -> Change:
    """Hidden from now on; a repeat changes nothing."""
    if entity.status is EntityStatus.DELETED:
        return Change(entity=entity)
    _at_version(entity, command.expected_version)
    gone = replace(entity, status=EntityStatus.DELETED, deleted_at=now)
    after = _next(entity, gone, now, command.context.caller.principal_id)
    return Change(entity=after, event=KnowledgeDeleted(entity_id=entity.entity_id))


def restore(entity: Entity, command: RestoreEntity, within: timedelta, now: datetime) -> Change:
    """Deleted → active, by an elder, while its retention time lasts."""
    caller = command.context.caller
    if not caller.may(Permission.DELETE):
        raise NotAuthorized(Permission.DELETE)
    if entity.status is EntityStatus.ACTIVE:
        return Change(entity=entity)
    if entity.deleted_at is None:
        raise InvalidTransition("entity", entity.status, EntityStatus.ACTIVE)
    if now - entity.deleted_at > within:
        raise NotFound("entity", entity.entity_id)
    back = replace(entity, status=EntityStatus.ACTIVE, deleted_at=None)
    return following(entity, back, now, caller.principal_id)


def first(entity: Entity) -> Change:
    """Version 1."""
    return Change(entity=entity, event=described(KnowledgeCreated, entity))


def following(before: Entity, after: Entity, now: datetime, by: str) -> Change:
    """The version after ``before``; where both are equal there is none."""
    if after == before:
        return Change(entity=before)
    following = _next(before, after, now, by)
    return Change(entity=following, event=described(KnowledgeUpdated, following))


def checked(entity: Entity) -> Entity:
    """The entity with its values tidied and its quality scored.

    Raises:
        ValidationError: a value is impossible.
    """
    if not checks.storable("content", entity.content).strip():
        raise ValidationError("content", "is blank")
    if len(entity.content.encode()) > CONTENT_MAX_BYTES:
        raise ValidationError("content", f"is longer than {CONTENT_MAX_BYTES} bytes")
    tidy = replace(
        entity,
        title=checks.text("title", entity.title, TITLE_MAX, required=True),
        summary=checks.text("summary", entity.summary, SUMMARY_MAX),
        category_id=categories.check_id("category_id", entity.category_id),
        tags=checks.tags(entity.tags),
        keywords=checks.words("keywords", entity.keywords, KEYWORDS_MAX),
        source_references=checks.references("source_references", entity.source_references),
        labels=checks.labels(entity.labels),
        alert_names=checks.references("alert_names", entity.alert_names),
        metadata=_metadata(entity.metadata),
        relevance_score=checks.fraction("relevance_score", entity.relevance_score),
        confidence_score=checks.fraction("confidence_score", entity.confidence_score),
    )
    return replace(tidy, quality_score=quality(tidy))


def described(event: type[KnowledgeCreated], entity: Entity) -> KnowledgeCreated:
    """The event with the entity in whole: every field of it is a field of the entity."""
    values = {field.name: getattr(entity, field.name) for field in dataclasses.fields(event)}
    values |= {"status": entity.status.value, "access_level": entity.access_level.value}
    return event(**values | {"labels": dict(entity.labels)})


def _next(before: Entity, after: Entity, now: datetime, by: str) -> Entity:
    return replace(after, version=before.version + 1, updated_at=now, updated_by=by)


def _at_version(entity: Entity, expected: int | None) -> None:
    if expected is not None and expected != entity.version:
        raise VersionConflict("entity", entity.entity_id)


def _metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    _plain(values, _METADATA_DEPTH)
    if len(json.dumps(values).encode()) > METADATA_MAX_BYTES:
        raise ValidationError("metadata", f"is larger than {METADATA_MAX_BYTES} bytes")
    return dict(values)


def _plain(value: Any, depth: int) -> None:
    """Refuses what JSON or PostgreSQL could not keep."""
    match value:
        case None | bool() | int():
            return
        case str():
            checks.storable("metadata", value)
        case float() if math.isfinite(value):
            return
        case dict() if depth and all(isinstance(name, str) for name in value):
            for part in (*value, *value.values()):
                _plain(part, depth - 1)
        case list() | tuple() if depth:
            for part in value:
                _plain(part, depth - 1)
        case _:
            raise ValidationError("metadata", "is not plain JSON, or too deep")
