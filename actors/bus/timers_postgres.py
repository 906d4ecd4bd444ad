"""A guild's timers in PostgreSQL."""

import asyncpg
import orjson

from actors import paging
from actors.bus.messages import CancelTimer, ListTimers, SetTimer, Timer, TimerPage
from actors.errors import ValidationError, VersionConflict
from actors.runtime.message import GuildId
from actors.storage import inbox, timers
from actors.storage.database import Database, Transaction
from actors.storage.timers import NewTimer

_COLUMNS = """
timer_id, name, due_at, cron, timezone, data, state, fired, created_at, created_by
"""
_GET = f"SELECT {_COLUMNS} FROM timers WHERE guild_id = $1 AND timer_id = $2"  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM timers
WHERE guild_id = $1 AND state = ANY($2)
  AND ($3::timestamptz IS NULL OR (due_at, timer_id) > ($3, $4))
ORDER BY due_at, timer_id
LIMIT $5
"""  # noqa: S608  # constants only
# What the sages themselves wait for, such as an acknowledgement, uses up nobody's share.
_WAITING = """
SELECT count(*) FROM (
    SELECT 1 FROM timers
    WHERE guild_id = $1 AND state = 'pending' AND created_by NOT LIKE 'sage.%' LIMIT $2
) AS waiting
"""
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('timers of ' || $1, 0))"


class PostgresTimerStore:
    """The `TimerStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, timer: NewTimer, cause: SetTimer, most: int) -> Timer:
        """Counts and writes one after the other, so that the bound holds."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            await tx.execute(_ONE_AT_A_TIME, guild_id)
            if await tx.fetchval(_WAITING, guild_id, most) >= most:
                raise ValidationError("timers", f"that wait are {most} already")
            await timers.schedule(tx, timer, cause=cause)
            kept = await _one(tx, guild_id, timer.timer_id)
            await inbox.record(tx, cause, kept)
        return kept

    async def cancel(self, cause: CancelTimer) -> Timer:
        """One that is being fired at the same moment is waited for, and then not cancelled."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            if not await timers.cancel(tx, guild_id, cause.timer_id):
                raise VersionConflict("timer", cause.timer_id)
            kept = await _one(tx, guild_id, cause.timer_id)
            await inbox.record(tx, cause, kept)
        return kept

    async def get(self, guild_id: GuildId, timer_id: str) -> Timer | None:
        """By primary key."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_GET, guild_id, timer_id)
        return None if row is None else _timer(row)

    async def page(self, query: ListTimers) -> TimerPage:
        """Keyset paging along the order in which they are due."""
        guild_id = query.context.caller.guild_id
        moment, last = None, None
        if query.cursor is not None:
            due, last = paging.decode(query.cursor, 2)
            moment = paging.moment(due)
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                _PAGE, guild_id, list(query.states), moment, last, query.limit + 1
            )
        found = tuple(_timer(row) for row in rows[: query.limit])
        more = len(rows) > query.limit
        return TimerPage(timers=found, next_cursor=_cursor(found[-1]) if more else None)


async def _one(tx: Transaction, guild_id: GuildId, timer_id: str) -> Timer:
    row = await tx.fetchrow(_GET, guild_id, timer_id)
    assert row is not None  # noqa: S101  # this transaction has just written it
    return _timer(row)


def _timer(row: asyncpg.Record) -> Timer:
    return Timer(**{**row, "data": orjson.loads(row["data"])})


def _cursor(timer: Timer) -> str:
    return paging.encode(timer.due_at.isoformat(), timer.timer_id)
