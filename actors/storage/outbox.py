"""Events leave with the rows they belong to: one transaction, or neither.

The audit log's entries about them, where there are any, are part of it too.
"""

from collections.abc import Callable, Sequence
from typing import Any

from actors import audit, clock, events
from actors.errors import ValidationError, VersionConflict
from actors.events import Payload, Priority
from actors.runtime.message import Command, GuildId, Position
from actors.storage import audit_log, sealing, seals
from actors.storage.database import Transaction, Written
from actors.storage.seals import Place

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
                    principal_id, data, sealed_for)
SELECT $1, event_id, $2, type, schema_version, head.aggregate_id, version, $4, $5, $6, $7, $8, data,
       sealed_for
FROM unnest($9::text[], $10::text[], $11::int[], $12::jsonb[], $14::int[], $15::text[])
     AS new(event_id, type, version, data, schema_version, sealed_for), head
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
        ValidationError: a payload is about a data subject that was erased.
        DependencyUnavailable: a payload is to be sealed, and ``SECRET_KEY`` does not serve.
    """
    if not payloads:
        return None
    context = cause.context
    event_ids = [new_id("evt") for _ in payloads]
    data = [events.encode(payload) for payload in payloads]
    sealed_for: list[str | None] = [payload.data_subject for payload in payloads]
    if any(sealed_for):
        await _seal(tx, context.caller.guild_id, event_ids, payloads, sealed_for, data)
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
        event_ids,
        [payload.type for payload in payloads],
        [version_before + 1 + index for index in range(len(payloads))],
        data,
        version_before,
        [payload.schema_version for payload in payloads],
        sealed_for,
    )
    if not rows:
        raise VersionConflict("record", aggregate_id)
    told = [
        audit.entry_of(cause, aggregate_id, event_id, payload)
        for event_id, payload in zip(event_ids, payloads, strict=True)
    ]
    await audit_log.append(tx, told)
    position = max(Position(int(row["xid"]), row["seq"], tx.epoch) for row in rows)
    correlation = correlation_id or context.correlation_id
    tx.note_events(
        [
            Written(event_id, payload.type, correlation)
            for event_id, payload in zip(event_ids, payloads, strict=True)
        ],
        position,
    )
    return position


async def _seal(
    tx: Transaction,
    guild_id: GuildId,
    event_ids: Sequence[str],
    payloads: Sequence[Payload],
    sealed_for: list[str | None],
    data: list[str],
) -> None:
    """Puts digests in place of names, and sealed texts in place of payloads."""
    sealings = await sealing.hold(tx, guild_id, filter(None, set(sealed_for)))
    for index, (event_id, payload) in enumerate(zip(event_ids, payloads, strict=True)):
        name = sealed_for[index]
        if name is None:
            continue
        digest, key = sealings[name]
        if key is None:
            raise ValidationError("data_subject", sealing.ERASED)
        sealed_for[index] = digest
        data[index] = seals.seal(key, Place(guild_id, event_id, payload.type), data[index])
