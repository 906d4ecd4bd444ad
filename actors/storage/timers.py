"""Durable timers: rows that say ``system.timer.fired`` when it is time.

Sages set and cancel them in the transaction of what they are about. The router fires those that
are due; PostgreSQL's clock decides, and the lease, which timers are whose.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from actors.errors import ValidationError
from actors.events import Priority, TimerFired
from actors.runtime.message import Command, GuildId
from actors.storage import cron, system_events
from actors.storage.database import Database, Transaction
from actors.storage.leaders import Lease, hold
from actors.storage.system_events import SystemEvent

_SCHEDULE = """
INSERT INTO timers (guild_id, timer_id, name, due_at, cron, timezone, data, correlation_id,
                    causation_id, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (guild_id, timer_id) DO UPDATE
SET state = 'pending', finished_at = NULL, due_at = excluded.due_at
"""
_CANCEL = """
UPDATE timers SET state = 'cancelled', finished_at = clock_timestamp()
WHERE guild_id = $1 AND timer_id = $2 AND state = 'pending'
"""
# Rows that somebody else holds are being cancelled, or fired: the next round sees what they became.
_DUE = """
SELECT guild_id, timer_id, name, due_at, cron, timezone, data, fired, correlation_id, causation_id,
       clock_timestamp() AS now
FROM timers
WHERE state = 'pending' AND due_at <= clock_timestamp()
ORDER BY due_at
LIMIT $1
FOR UPDATE SKIP LOCKED
"""
_FIRED = """
UPDATE timers
SET fired = timers.fired + 1,
    due_at = coalesce(moved.due_at, timers.due_at),
    state = CASE WHEN moved.due_at IS NULL THEN 'fired' ELSE 'pending' END,
    finished_at = CASE WHEN moved.due_at IS NULL THEN clock_timestamp() END
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS moved(guild_id, timer_id, due_at)
WHERE timers.guild_id = moved.guild_id AND timers.timer_id = moved.timer_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTimer:
    """A timer to be set.

    Attributes:
        due_at: when, or for a cron timer the first time.
        data: what the event carries; a JSON object.
    """

    timer_id: str
    name: str
    due_at: datetime
    cron: str | None = None
    timezone: str = "UTC"
    data: Mapping[str, Any] = field(default_factory=dict)


async def schedule(
    tx: Transaction,
    timer: NewTimer,
    *,
    cause: Command[Any],
    correlation_id: str | None = None,
    created_by: str | None = None,
) -> None:
    """Sets a timer, if the transaction commits.

    Args:
        tx: the transaction of what it is about.
        timer: one of this id that was set before is pending again, at the new time.
        cause: its guild has the timer, its principal set it.
        correlation_id: that the timer's event shall have; default the cause's.
        created_by: default the cause's principal.
    """
    context = cause.context
    await tx.execute(
        _SCHEDULE,
        context.caller.guild_id,
        timer.timer_id,
        timer.name,
        timer.due_at,
        timer.cron,
        timer.timezone,
        json.dumps(dict(timer.data)),
        correlation_id or context.correlation_id,
        context.causation_id or cause.command_id,
        created_by or context.caller.principal_id,
    )


async def cancel(tx: Transaction, guild_id: GuildId, timer_id: str) -> bool:
    """It will not fire any more; False: it has, or there was none."""
    return await tx.execute(_CANCEL, guild_id, timer_id) == "UPDATE 1"


async def fire_due(database: Database, lease: Lease, limit: int) -> int:
    """Fires at most ``limit`` timers whose time has come; answers how many.

    A cron timer that missed several times, because nobody was there, fires once for all of them.

    Args:
        database: of the role ``guild_log``.
        lease: of whoever fires.
        limit: timers of one transaction.

    Raises:
        LeadershipLost: the lease is over; nothing was fired.
        VersionConflict: a race was lost; nothing was fired, and the next round tries again.
    """
    async with database.across_guilds() as tx:
        await hold(tx, lease)
        due = await tx.fetch(_DUE, limit)
        if due:
            await system_events.append(tx, [_fired(timer) for timer in due])
            await _move(tx, due)
    return len(due)


async def _move(tx: Transaction, due: Sequence[asyncpg.Record]) -> None:
    await tx.execute(
        _FIRED,
        [timer["guild_id"] for timer in due],
        [timer["timer_id"] for timer in due],
        [_next(timer) for timer in due],
    )


def _next(timer: asyncpg.Record) -> datetime | None:
    if timer["cron"] is None:
        return None
    try:
        return cron.next_time(timer["cron"], timer["timezone"], timer["now"])
    except ValidationError:
        return None  # it was one when it was set: its zone, or its last time, is gone


def _fired(timer: asyncpg.Record) -> SystemEvent:
    return SystemEvent(
        guild_id=GuildId(timer["guild_id"]),
        aggregate_id=timer["timer_id"],
        payload=TimerFired(
            timer_id=timer["timer_id"],
            name=timer["name"],
            due_at=timer["due_at"],
            occurrence=timer["fired"] + 1,
            data=orjson.loads(timer["data"]),
        ),
        correlation_id=timer["correlation_id"],
        causation_id=timer["causation_id"],
        priority=Priority.HIGH,  # who sets a timer wants to hear of it in time
    )
