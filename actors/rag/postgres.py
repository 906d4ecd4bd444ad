"""The RAG sage's store in PostgreSQL."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import numpy as np

from actors.embedding.identity import ModelIdentity
from actors.errors import NotFound
from actors.events import DocumentIndexed
from actors.index.passage import Passage, Source, Vector
from actors.rag import domain, model_rows, projection, sql, writing
from actors.rag.domain import Indexed
from actors.rag.messages import Document, Filters, Hit, LegScore, StoreDocument
from actors.rag.store import Change, Known, Loaded, Pending, Write
from actors.runtime.message import Command, GuildId, Outcome, ReplyT
from actors.storage import inbox, outbox
from actors.storage.database import Database, Transaction, binary_vector


class PostgresRagStore:
    """`RagStore` on PostgreSQL with pgvector.

    Args:
        database: as role ``guild_app``; one guild a transaction.
        log_database: as role ``guild_log``, which may list the guilds.
    """

    def __init__(self, database: Database, log_database: Database) -> None:
        self._database = database
        self._log_database = log_database

    async def look_up(
        self, guild_id: GuildId, commands: Sequence[StoreDocument]
    ) -> Sequence[Known]:
        """See `RagStore.look_up`."""
        async with self._database.statements() as tx:
            rows = await tx.fetch(
                sql.LOOK_UP,
                guild_id,
                [command.command_id for command in commands],
                [command.external_id for command in commands],
                [
                    domain.sha256(command.content) if command.external_id is None else None
                    for command in commands
                ],
            )
        return [
            Known(
                present=None if row["document_id"] is None else _document(row),
                chunk_count=row["chunk_count"] or 0,
                earlier=inbox.earlier(row, command) if row["handled"] else None,
                model=model_rows.identity(row),
            )
            for row, command in zip(rows, commands, strict=True)
        ]

    async def document(
        self, guild_id: GuildId, document_id: str, version: int | None = None
    ) -> Document:
        """See `RagStore.document`."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(
                f"{sql.DOCUMENT} AND d.document_id = $2 AND v.version = coalesce($3, d.version)",
                guild_id,
                document_id,
                version,
            )
        if row is None:
            raise NotFound("document", document_id)
        return _document(row)

    async def source(self, guild_id: GuildId, source_id: str) -> Indexed | None:
        """See `RagStore.source`."""
        return (await self.sources(guild_id, [source_id])).get(source_id)

    async def sources(self, guild_id: GuildId, source_ids: Sequence[str]) -> Mapping[str, Indexed]:
        """See `RagStore.sources`."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                f"{sql.SOURCE}, body FROM sources WHERE guild_id = $1 AND source_id = ANY($2)",
                guild_id,
                list(source_ids),
            )
        return {row["source_id"]: _indexed(row) for row in rows}

    async def text(self, guild_id: GuildId, source_id: str, version: int) -> str | None:
        """See `RagStore.text`."""
        async with self._database.read(guild_id) as tx:
            found: str | None = await tx.fetchval(
                "SELECT content FROM document_versions"
                " WHERE guild_id = $1 AND document_id = $2 AND version = $3"
                " UNION ALL SELECT body FROM sources WHERE guild_id = $1 AND source_id = $2"
                " AND source_version = $3 AND source_type <> 'document'",
                guild_id,
                source_id,
                version,
            )
        return found

    async def commit(
        self, cause: Command[ReplyT], reply: ReplyT, change: Change | None = None
    ) -> None:
        """See `RagStore.commit`."""
        guild_id = cause.context.caller.guild_id
        write = Write(cause=cause, reply=reply, change=change)
        [outcome] = await self.commit_all(guild_id, [write])
        outcome.unwrap()

    async def commit_all(
        self, guild_id: GuildId, writes: Sequence[Write[ReplyT]]
    ) -> Sequence[Outcome[ReplyT]]:
        """See `RagStore.commit_all`."""
        async with self._database.transaction(guild_id, planned_once=True) as tx:
            return await writing.put(tx, guild_id, writes)

    async def guilds(self) -> list[GuildId]:
        """See `RagStore.guilds`."""
        async with self._log_database.across_guilds() as tx:
            rows = await tx.fetch("SELECT guild_id FROM guilds ORDER BY guild_id")
        return [GuildId(row["guild_id"]) for row in rows]

    async def model(self, guild_id: GuildId) -> ModelIdentity | None:
        """See `RagStore.model`."""
        async with self._database.read(guild_id) as tx:
            return await model_rows.model(tx, guild_id)

    async def page(
        self, guild_id: GuildId, after: str, limit: int, model: ModelIdentity | None = None
    ) -> list[Loaded]:
        """See `RagStore.page`."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                f"{sql.SOURCE} FROM sources WHERE guild_id = $1 AND source_id > $2 AND NOT removed"
                " ORDER BY source_id LIMIT $3",
                guild_id,
                after,
                limit,
            )
            return await _with_passages(tx, guild_id, rows, model)

    async def load(
        self, guild_id: GuildId, source_ids: Sequence[str], model: ModelIdentity | None = None
    ) -> list[Loaded]:
        """See `RagStore.load`."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                f"{sql.SOURCE} FROM sources WHERE guild_id = $1 AND source_id = ANY($2)"
                " AND NOT removed ORDER BY source_id",
                guild_id,
                list(source_ids),
            )
            return await _with_passages(tx, guild_id, rows, model)

    async def exact(
        self,
        guild_id: GuildId,
        vector: Vector,
        filters: Filters,
        limit: int,
        *,
        model: ModelIdentity,
    ) -> list[Hit]:
        """See `RagStore.exact`."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                sql.EXACT,
                guild_id,
                binary_vector(vector.astype("<f4").tobytes()),
                limit,
                list(filters.types),
                list(filters.kinds),
                list(filters.statuses),
                list(filters.access),
                list(filters.tags),
                list(filters.exclude),
                filters.since,
                filters.until,
                model.model_id,
                model.dimension,
            )
        return [_exact_hit(rank, row) for rank, row in enumerate(rows, start=1)]

    async def claim(
        self, guild_id: GuildId, limit: int, claim_s: float, model: ModelIdentity | None = None
    ) -> list[Pending]:
        """See `RagStore.claim`."""
        wanted = (None, None) if model is None else (model.model_id, model.dimension)
        async with self._database.transaction(guild_id) as tx:
            rows = await tx.fetch(sql.CLAIM, guild_id, limit, claim_s, *wanted)
        return [
            Pending(
                chunk_id=row["chunk_id"],
                source_id=row["source_id"],
                to_embed=domain.to_embed(row["title"], row["heading"], row["body"]),
            )
            for row in rows
        ]

    async def release(
        self, guild_id: GuildId, chunk_ids: Sequence[str], after_s: float = 0.0
    ) -> None:
        """See `RagStore.release`."""
        async with self._database.transaction(guild_id) as tx:
            await tx.execute(sql.RELEASE, guild_id, list(chunk_ids), after_s)

    async def attach(
        self, cause: Command[None], vectors: Mapping[str, Vector], model_id: str
    ) -> None:
        """See `RagStore.attach`."""
        if not vectors:
            return
        guild_id = cause.context.caller.guild_id
        made = ModelIdentity(model_id, len(next(iter(vectors.values()))))
        sent = [binary_vector(vector.astype("<f4").tobytes()) for vector in vectors.values()]
        async with self._database.transaction(guild_id) as tx:
            # In the order of those who store: sources, the guild's model, passages; each by its id.
            await tx.execute(sql.HOLD_SOURCES, guild_id, list(vectors))
            if await model_rows.settled(tx, guild_id, made) != made:
                await tx.execute(sql.RELEASE, guild_id, list(vectors), 0.0)
                return
            await tx.execute(sql.HOLD_CHUNKS, guild_id, list(vectors))
            changed = await tx.fetch(sql.ATTACH, guild_id, list(vectors), sent, model_id)
            sources = sorted({row["source_id"] for row in changed})
            for row in await tx.fetch(sql.COMPLETE, guild_id, sources):
                await outbox.append(
                    tx,
                    cause=cause,
                    aggregate_id=projection.index_entry(row["source_id"]),
                    version_before=row["index_version"] - 1,
                    payloads=[
                        DocumentIndexed(
                            source_type=row["source_type"],
                            source_id=row["source_id"],
                            source_version=row["source_version"],
                            chunk_count=row["chunk_count"],
                            leg="dense",
                        )
                    ],
                )


async def _with_passages(
    tx: Transaction,
    guild_id: GuildId,
    rows: Sequence[asyncpg.Record],
    model: ModelIdentity | None,
) -> list[Loaded]:
    sources = [_searchable(row) for row in rows]
    found: dict[str, list[Passage]] = {source.source_id: [] for source in sources}
    wanted = (None, None) if model is None else (model.model_id, model.dimension)
    for row in await tx.fetch(sql.CHUNKS, guild_id, list(found), *wanted):
        found[row["source_id"]].append(
            Passage(
                chunk_id=row["chunk_id"],
                position=row["position"],
                heading=row["heading"],
                text=row["body"],
                char_start=row["char_start"],
                char_end=row["char_end"],
                vector=_vector(row["embedding"]),
            )
        )
    return [(source, found[source.source_id]) for source in sources]


def _vector(sent: bytes | None) -> Vector | None:
    """What ``vector_send`` gives: two 16-bit numbers, then big-endian floats."""
    if sent is None:
        return None
    return np.frombuffer(sent, dtype=">f4", offset=4).astype(np.float32)


def _searchable(row: asyncpg.Record) -> Source:
    """What `domain.searchable` makes of `_indexed`, at once: the tail reads many."""
    return Source(
        source_id=row["source_id"],
        type=row["source_type"],
        version=row["source_version"],
        title=row["title"],
        external_id=row["external_id"],
        kind=row["kind"],
        status=row["status"],
        tags=tuple(row["tags"]),
        names=tuple(row["alert_names"]),
        labels=_object(row["labels"]),
        urls=tuple(row["urls"]),
        access=row["access_level"],
        changed_at=row["changed_at"].timestamp(),
    )


def _object(text: str) -> dict[str, Any]:
    """A JSON object; most are empty."""
    return {} if text == "{}" else json.loads(text)


def _indexed(row: asyncpg.Record) -> Indexed:
    return Indexed(
        source_id=row["source_id"],
        type=row["source_type"],
        version=row["source_version"],
        title=row["title"],
        body=row.get("body", ""),
        external_id=row["external_id"],
        kind=row["kind"],
        status=row["status"],
        tags=tuple(row["tags"]),
        names=tuple(row["alert_names"]),
        labels=_object(row["labels"]),
        urls=tuple(row["urls"]),
        removed=row["removed"],
        access=row["access_level"],
        changed_at=row["changed_at"],
    )


def _exact_hit(rank: int, row: asyncpg.Record) -> Hit:
    score = round(row["score"], 4)
    return Hit(
        type=row["source_type"],
        id=row["source_id"],
        external_id=row["external_id"],
        version=row["source_version"],
        chunk_id=row["chunk_id"],
        kind=row["kind"],
        title=row["title"],
        heading=row["heading"],
        text=row["body"],
        score=score,
        legs={"dense": LegScore(rank=rank, score=score)},
        char_start=row["char_start"],
        char_end=row["char_end"],
    )


def _document(row: asyncpg.Record) -> Document:
    return Document(
        document_id=row["document_id"],
        external_id=row["external_id"],
        version=row["version"],
        title=row["title"],
        content=row["content"],
        content_type=row["content_type"],
        content_sha256=row["content_sha256"],
        source_url=row["source_url"],
        kind=row["kind"],
        tags=tuple(row["tags"]),
        alert_names=tuple(row["alert_names"]),
        labels=_object(row["labels"]),
        metadata=_object(row["metadata"]),
        status=row["status"],
        created_at=row["created_at"],
        updated_at=row["stored_at"],
        vector_sha256=row["vector_sha256"],
        access_level=row["access_level"],
    )
