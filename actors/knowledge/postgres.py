"""Knowledge in PostgreSQL: the newest version as a row, and every version as a document."""

from collections.abc import Sequence
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from actors import paging
from actors.errors import VersionConflict
from actors.knowledge.domain.access import Sight
from actors.knowledge.domain.entities import Change
from actors.knowledge.messages import (
    Category,
    Entity,
    EntityId,
    EntityPage,
    EntitySummary,
    VersionPage,
    VersionSummary,
)
from actors.knowledge.store import EntityFilter
from actors.runtime.message import Command, GuildId
from actors.storage import inbox, outbox
from actors.storage.database import Database, Transaction

_COLUMNS = tuple(Entity.__dataclass_fields__)
_LISTED = tuple(EntitySummary.__dataclass_fields__)
_entity = TypeAdapter(Entity)
_summary = TypeAdapter(EntitySummary)
_version = TypeAdapter(VersionSummary)

_INSERT = f"""
INSERT INTO knowledge_entities (guild_id, {", ".join(_COLUMNS)})
SELECT $1, {", ".join(_COLUMNS)}
FROM jsonb_populate_record(NULL::knowledge_entities, $2::jsonb)
ON CONFLICT DO NOTHING
"""  # noqa: S608  # names of our own fields
_UPDATE = f"""
UPDATE knowledge_entities AS old SET {", ".join(f"{name} = new.{name}" for name in _COLUMNS)}
FROM jsonb_populate_record(NULL::knowledge_entities, $2::jsonb) AS new
WHERE old.guild_id = $1 AND old.entity_id = new.entity_id AND old.version = new.version - 1
"""  # noqa: S608
_KEEP = """
INSERT INTO knowledge_versions (guild_id, entity_id, version, title, status, updated_at,
                                updated_by, entity)
SELECT guild_id, entity_id, version, title, status, updated_at, updated_by,
       to_jsonb(knowledge_entities) - 'guild_id'
FROM knowledge_entities WHERE guild_id = $1 AND entity_id = $2
"""
_NEWEST = "SELECT to_jsonb(knowledge_entities) FROM knowledge_entities WHERE guild_id = $1"


class PostgresKnowledgeStore:
    """The `KnowledgeStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(
        self, guild_id: GuildId, entity_id: str, version: int | None = None
    ) -> Entity | None:
        """By primary key, of the row or of the version."""
        async with self._database.read(guild_id) as tx:
            if version is None:
                found = await tx.fetchval(f"{_NEWEST} AND entity_id = $2", guild_id, entity_id)
            else:
                found = await tx.fetchval(
                    "SELECT entity FROM knowledge_versions"
                    " WHERE guild_id = $1 AND entity_id = $2 AND version = $3",
                    guild_id,
                    entity_id,
                    version,
                )
        return None if found is None else _entity.validate_json(found)

    async def of_origin(self, guild_id: GuildId, origin_id: str) -> Entity | None:
        """By its unique index."""
        async with self._database.read(guild_id) as tx:
            found = await tx.fetchval(f"{_NEWEST} AND origin_id = $2", guild_id, origin_id)
        return None if found is None else _entity.validate_json(found)

    async def page(
        self, guild_id: GuildId, wanted: EntityFilter, limit: int, cursor: str | None
    ) -> EntityPage:
        """Keyset paging, backwards along ``idx_knowledge_created_at`` or its twin by category."""
        query, args = _page_query(guild_id, wanted, cursor)
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(f"{query} LIMIT ${len(args) + 1}", *args, limit + 1)
        found = tuple(_summary.validate_python(dict(row)) for row in rows[:limit])
        return EntityPage(
            entities=found, next_cursor=_cursor(found[-1]) if len(rows) > limit else None
        )

    async def versions(
        self, guild_id: GuildId, entity_id: str, sight: Sight, limit: int, cursor: str | None
    ) -> VersionPage:
        """Keyset paging, backwards along the primary key."""
        before = None if cursor is None else paging.number(*paging.decode(cursor, 1))
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                "SELECT version, title, status, updated_at, updated_by FROM knowledge_versions"
                " WHERE guild_id = $1 AND entity_id = $2 AND ($3::bigint IS NULL OR version < $3)"
                " AND (entity->>'access_level' = ANY($4::text[]) OR entity->>'owner_id' = $5)"
                " ORDER BY version DESC LIMIT $6",
                guild_id,
                entity_id,
                before,
                sorted(sight.levels),
                sight.principal_id,
                limit + 1,
            )
        found = tuple(_version.validate_python(dict(row)) for row in rows[:limit])
        more = len(rows) > limit
        return VersionPage(
            entity_id=EntityId(entity_id),
            versions=found,
            next_cursor=paging.encode(str(found[-1].version)) if more else None,
        )

    async def categories(self, guild_id: GuildId) -> Sequence[Category]:
        """All of the guild; their number is bounded."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                "SELECT category_id, name, description, parent_id FROM knowledge_categories"
                " WHERE guild_id = $1",
                guild_id,
            )
        return [Category(**dict(row), built_in=False) for row in rows]

    async def commit(self, change: Change, *, cause: Command[Any], reply: object) -> None:
        """Row, version, event and reply in one transaction."""
        entity, guild_id = change.entity, cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            await _write(tx, guild_id, entity)
            await tx.execute(_KEEP, guild_id, entity.entity_id)
            await outbox.append(
                tx,
                cause=cause,
                aggregate_id=entity.entity_id,
                version_before=entity.version - 1,
                payloads=() if change.event is None else (change.event,),
            )
            await inbox.record(tx, cause, reply)

    async def add_category(self, category: Category, *, cause: Command[Any], reply: object) -> None:
        """Row and reply in one transaction."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            try:
                await tx.execute(
                    "INSERT INTO knowledge_categories"
                    " (guild_id, category_id, name, description, parent_id)"
                    " VALUES ($1, $2, $3, $4, $5)",
                    guild_id,
                    category.category_id,
                    category.name,
                    category.description,
                    category.parent_id,
                )
            except asyncpg.UniqueViolationError as error:
                raise VersionConflict("category", category.category_id) from error
            await inbox.record(tx, cause, reply)


async def _write(tx: Transaction, guild_id: GuildId, entity: Entity) -> None:
    statement, done = (_INSERT, "INSERT 0 1") if entity.version == 1 else (_UPDATE, "UPDATE 1")
    if await tx.execute(statement, guild_id, _entity.dump_json(entity).decode()) != done:
        raise VersionConflict("entity", entity.entity_id)


def _page_query(
    guild_id: GuildId, wanted: EntityFilter, cursor: str | None
) -> tuple[str, list[Any]]:
    conditions = ["guild_id = $1"]
    args: list[Any] = [guild_id]

    def where(condition: str, *values: Any) -> None:
        numbers = [f"${len(args) + 1 + index}" for index in range(len(values))]
        conditions.append(condition.format(*numbers))
        args.extend(values)

    where("status = ANY({}::text[])", sorted(wanted.statuses))
    where(
        "(access_level = ANY({}::text[]) OR owner_id = {})",
        sorted(wanted.sight.levels),
        wanted.sight.principal_id,
    )
    if wanted.category_id is not None:
        where("category_id = {}", wanted.category_id)
    if wanted.tag is not None:
        where("{} = ANY(tags)", wanted.tag)
    if wanted.author_id is not None:
        where("author_id = {}", wanted.author_id)
    if cursor is not None:
        created_at, entity_id = paging.decode(cursor, 2)
        where("(created_at, entity_id) < ({}, {})", paging.moment(created_at), entity_id)
    query = (
        f"SELECT {', '.join(_LISTED)} FROM knowledge_entities"  # noqa: S608
        f" WHERE {' AND '.join(conditions)} ORDER BY created_at DESC, entity_id DESC"
    )
    return query, args


def _cursor(summary: EntitySummary) -> str:
    return paging.encode(summary.created_at.isoformat(), summary.entity_id)
