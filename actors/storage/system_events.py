"""Events that no sage causes: the router says what time, or it itself, has done.

The role ``guild_log`` may write events of the types ``system.*`` and no others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from actors import clock, events
from actors.errors import VersionConflict
from actors.events import Payload, Priority
from actors.runtime.message import GuildId, Position
from actors.storage.database import Transaction, Written

PRINCIPAL = "system:router"
"""On whose behalf: nobody's who could sign in."""

_INSERT = """
WITH new AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[],
                         $7::text[], $8::text[], $9::text[], $10::jsonb[])
        AS new(guild_id, aggregate_id, event_id, type, schema_version, priority,
               correlation_id, causation_id, principal_id, data)
), heads AS (
    INSERT INTO aggregate_heads AS head (guild_id, aggregate_id, version, xid)
    SELECT guild_id, aggregate_id, 1, pg_current_xact_id() FROM new
    ORDER BY guild_id, aggregate_id
    ON CONFLICT (guild_id, aggregate_id) DO UPDATE
    SET version = head.version + 1, xid = excluded.xid
    WHERE head.xid <= excluded.xid
    RETURNING guild_id, aggregate_id, version
)
INSERT INTO events (guild_id, event_id, source, type, schema_version, aggregate_id,
                    aggregate_version, priority, occurred_at, correlation_id, causation_id,
                    principal_id, data)
SELECT guild_id, event_id, 'elders-guild', type, schema_version, aggregate_id, version, priority,
       date_trunc('milliseconds', clock_timestamp()), correlation_id, causation_id, principal_id,
       data
FROM new JOIN heads USING (guild_id, aggregate_id)
RETURNING xid::text AS xid, seq
"""
# The order in which heads are locked is the same everywhere: two writers never wait in a ring.


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemEvent:
    """One event; its version follows from what its aggregate has had.

    Attributes:
        aggregate_id: such as a timer's id. What sages version themselves must not stand here.
    """

    guild_id: GuildId
    aggregate_id: str
    payload: Payload
    correlation_id: str
    causation_id: str | None = None
    priority: Priority = Priority.NORMAL
    principal_id: str = PRINCIPAL


async def append(tx: Transaction, happened: Sequence[SystemEvent]) -> Position | None:
    """Writes events of different aggregates, as part of what caused them.

    Args:
        tx: of the role ``guild_log``, across guilds.
        happened: each aggregate at most once. Empty: nothing is written.

    Returns:
        The position of the last one, or None where there was none.

    Raises:
        VersionConflict: an aggregate's last event was written by a transaction that began to
            write after this one did; the whole can be repeated.
    """
    if not happened:
        return None
    event_ids = clock.new_ids("evt", len(happened))
    rows = await tx.fetch(
        _INSERT,
        [event.guild_id for event in happened],
        [event.aggregate_id for event in happened],
        event_ids,
        [events.wire_type(event.payload) for event in happened],
        [event.payload.schema_version for event in happened],
        [event.priority.value for event in happened],
        [event.correlation_id for event in happened],
        [event.causation_id for event in happened],
        [event.principal_id for event in happened],
        [events.encode(event.payload) for event in happened],
    )
    if len(rows) != len(happened):
        raise VersionConflict("record", happened[0].aggregate_id)
    position = max(Position(int(row["xid"]), row["seq"], tx.epoch) for row in rows)
    tx.note_events(
        [
            Written(event_id, event.payload.type, event.correlation_id)
            for event_id, event in zip(event_ids, happened, strict=True)
        ],
        position,
    )
    return position
