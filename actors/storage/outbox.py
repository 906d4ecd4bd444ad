"""Events leave with the rows they belong to: one transaction, or neither."""

from collections.abc import Callable, Sequence
from typing import Any

from actors import clock, events
from actors.errors import VersionConflict
from actors.events import Payload, Priority
from actors.runtime.message import Command, Position
from actors.storage.database import Transaction

_INSERT = """
WITH head AS (
    INSERT INTO aggregate_heads AS head (guild_id, aggregate_id, version, xid)
    VALUES ($1, $3, $13 + cardinality($9::text[]), pg_current_xact_id())
    ON CONFLICT (guild_id, aggregate_id) DO UPDATE
    SET version = excluded.version, xid = excluded.xid
    WHERE head.version = $13 AND head.xid <= excluded.xid
    RETURNING aggregate_id
)
INSERT INTO events (guild_id, event_id, source, type, schema_version, aggregate_id,
                    aggregate_version, priority, occurred_at, correlation_id, causation_id,
                    principal_id, data)
SELECT $1, event_id, $2, type, schema_version, head.aggregate_id, version, $4, $5, $6, $7, $8, data
FROM unnest($9::text[], $10::text[], $11::int[], $12::jsonb[], $14::int[])
     AS new(event_id, type, version, data, schema_version), head
ORDER BY version
RETURNING xid::text AS xid, seq
"""
# The conditions keep the log's order and the versions' order one and the same. A transaction that
# got its id early and then waited for a later one to commit would put version 2 before version 1.


async def append(
    tx: Transaction,
    *,
    cause: Command[Any],
    aggregate_id: str,
    version_before: int,
    payloads: Sequence[Payload],
    correlation_id: str | None = None,
    priority: Priority = Priority.NORMAL,
    source: str = "elders-guild",
    now: clock.Now = clock.now,
    new_id: Callable[[str], str] = clock.new_id,
) -> Position | None:
    """Writes one aggregate's events, versions ``version_before + 1`` upwards.

    Args:
        tx: the transaction that also writes the aggregate's row.
        cause: the command; its caller is the events' principal.
        aggregate_id: the thing that changed.
        version_before: its version before these events.
        payloads: what happened, in order. Empty: nothing is written.
        correlation_id: the aggregate's own, where it has one; default the command's.
        priority: lane of the router.
        source: publisher, part of the event's outside identity.
        now: clock.
        new_id: maker of event ids.

    Returns:
        The position of the last event, or None where there was none.

    Raises:
        VersionConflict: this aggregate is at another version, or its last event was written by a
            transaction that began to write after this one did.
    """
    if not payloads:
        return None
    context = cause.context
    rows = await tx.fetch(
        _INSERT,
        context.caller.guild_id,
        source,
        aggregate_id,
        priority.value,
        now(),
        correlation_id or context.correlation_id,
        context.causation_id or cause.command_id,
        context.caller.principal_id,
        [new_id("evt") for _ in payloads],
        [payload.type for payload in payloads],
        [version_before + 1 + index for index in range(len(payloads))],
        [events.encode(payload) for payload in payloads],
        version_before,
        [payload.schema_version for payload in payloads],
    )
    if not rows:
        raise VersionConflict("record", aggregate_id)
    position = max(Position(int(row["xid"]), row["seq"], tx.epoch) for row in rows)
    if tx.position is None or tx.position < position:
        tx.position = position
    return position
