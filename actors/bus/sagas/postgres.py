"""Sagas in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import orjson

from actors import paging
from actors.bus.messages import ListSagas, Saga, SagaPage
from actors.bus.sagas.engine import Done, SagaState, SagaStatus, StepStatus
from actors.errors import VersionConflict
from actors.events import DeliverEvent, Payload
from actors.runtime.message import GuildId
from actors.storage import inbox, outbox
from actors.storage.database import Database, Transaction

_WRITE = """
INSERT INTO sagas AS kept (guild_id, saga_id, kind, state, steps, data, reason, correlation_id,
                           version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9 + 1)
ON CONFLICT (guild_id, saga_id) DO UPDATE
SET state = excluded.state, steps = excluded.steps, data = excluded.data,
    reason = excluded.reason, version = excluded.version, updated_at = clock_timestamp()
WHERE kept.version = $9
"""
_COLUMNS = """
saga_id, kind, state, steps, data, reason, correlation_id, version, created_at, updated_at
"""
_GET = f"SELECT {_COLUMNS} FROM sagas WHERE guild_id = $1 AND saga_id = $2"  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM sagas
WHERE guild_id = $1
  AND ($2::text[] IS NULL OR state = ANY($2))
  AND ($3::timestamptz IS NULL OR (created_at, saga_id) < ($3, $4))
ORDER BY created_at DESC, saga_id DESC
LIMIT $5
"""  # noqa: S608  # constants only


class PostgresSagaStore:
    """The `SagaStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, guild_id: GuildId, saga_id: str) -> SagaState | None:
        """By primary key."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_GET, guild_id, saga_id)
        return None if row is None else _state(guild_id, row)

    async def keep(self, state: SagaState) -> SagaState:
        """The row alone."""
        async with self._database.transaction(state.guild_id) as tx:
            await _write(tx, state)
        return replace(state, version=state.version + 1)

    async def commit(
        self, state: SagaState, cause: DeliverEvent, happened: Sequence[Payload]
    ) -> None:
        """Row, events and inbox row."""
        async with self._database.transaction(state.guild_id) as tx:
            await _write(tx, state)
            await outbox.append(
                tx,
                cause=cause,
                aggregate_id=state.saga_id,
                version_before=state.finished - len(happened),
                payloads=happened,
                correlation_id=state.correlation_id,
            )
            await inbox.record(tx, cause, None)

    async def get(self, guild_id: GuildId, saga_id: str) -> Saga | None:
        """By primary key."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_GET, guild_id, saga_id)
        return None if row is None else _saga(row)

    async def page(self, query: ListSagas) -> SagaPage:
        """Keyset paging along the order in which they began."""
        guild_id = query.context.caller.guild_id
        moment, last = None, None
        if query.cursor is not None:
            began, last = paging.decode(query.cursor, 2)
            moment = paging.moment(began)
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                _PAGE, guild_id, list(query.states) or None, moment, last, query.limit + 1
            )
        sagas = tuple(_saga(row) for row in rows[: query.limit])
        more = len(rows) > query.limit
        return SagaPage(
            sagas=sagas,
            next_cursor=_cursor(sagas[-1]) if more else None,
        )


async def _write(tx: Transaction, state: SagaState) -> None:
    status = await tx.execute(
        _WRITE,
        state.guild_id,
        state.saga_id,
        state.kind,
        state.status.value,
        _json(state.steps),
        _json(
            {
                "facts": state.facts,
                "done": [[work.step, work.event_id] for work in state.done],
                "finished": state.finished,
            }
        ),
        state.reason,
        state.correlation_id,
        state.version,
    )
    if status != "INSERT 0 1":
        raise VersionConflict("saga", state.saga_id)


def _state(guild_id: GuildId, row: asyncpg.Record) -> SagaState:
    data = orjson.loads(row["data"])
    return SagaState(
        guild_id=guild_id,
        saga_id=row["saga_id"],
        kind=row["kind"],
        correlation_id=row["correlation_id"],
        steps={name: StepStatus(word) for name, word in orjson.loads(row["steps"]).items()},
        status=SagaStatus(row["state"]),
        facts=data["facts"],
        done=tuple(Done(step, event_id) for step, event_id in data["done"]),
        finished=data["finished"],
        reason=row["reason"],
        version=row["version"],
    )


def _saga(row: asyncpg.Record) -> Saga:
    return Saga(
        saga_id=row["saga_id"],
        kind=row["kind"],
        state=row["state"],
        steps=orjson.loads(row["steps"]),
        reason=row["reason"],
        correlation_id=row["correlation_id"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _cursor(saga: Saga) -> str:
    return paging.encode(saga.created_at.isoformat(), saga.saga_id)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
