"""What many commands of one guild lead to: their events and their replies, in one statement.

The audit log's entries about them, where there are any, are part of the transaction too.
"""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple

import orjson

from actors import audit, clock, events
from actors.audit import AuditEntry
from actors.errors import VersionConflict
from actors.events import Payload, Priority
from actors.runtime.message import Command, GuildId, Position, ReplyT
from actors.storage import audit_log, inbox
from actors.storage.database import Transaction, Written
from actors.storage.inbox import AlreadyHandled

# Events get their numbers before anything else, so that a reply can be kept with the position of
# its event. Heads are written in the order of their ids, and so are replies: two transactions that
# meet wait for each other, and do not lock each other out. The conditions at a head are those of
# `outbox.append`. Rows come as one JSON text: the driver looks at each element of an array in
# Python.
_RECORD = """
WITH given AS MATERIALIZED (
    SELECT new.*, CASE WHEN event_id IS NOT NULL THEN nextval('event_numbers') END AS seq
    FROM ROWS FROM (json_to_recordset($5::json) AS (
        command_id text, request_hash text, reply jsonb, aggregate_id text, version int,
        event_id text, type text, schema_version int, correlation_id text, causation_id text,
        principal_id text, data jsonb)
    ) WITH ORDINALITY AS new(command_id, request_hash, reply, aggregate_id, version, event_id, type,
                             schema_version, correlation_id, causation_id, principal_id, data,
                             number)
), heads AS (
    INSERT INTO aggregate_heads AS head (guild_id, aggregate_id, version, xid)
    SELECT $1, aggregate_id, version, pg_current_xact_id() FROM given
    WHERE event_id IS NOT NULL ORDER BY aggregate_id
    ON CONFLICT (guild_id, aggregate_id) DO UPDATE
    SET version = excluded.version, xid = excluded.xid
    WHERE head.version = excluded.version - 1 AND head.xid <= excluded.xid
    RETURNING aggregate_id
), written AS (
    INSERT INTO events (seq, guild_id, event_id, source, type, schema_version, aggregate_id,
                        aggregate_version, priority, occurred_at, correlation_id, causation_id,
                        principal_id, data)
    SELECT seq, $1, event_id, $2, type, schema_version, aggregate_id, version, $3, $4,
           correlation_id, causation_id, principal_id, coalesce(data, 'null')
    FROM given JOIN heads USING (aggregate_id)
    ORDER BY seq
    RETURNING seq
), handled AS (
    INSERT INTO inbox (guild_id, command_id, request_hash, reply, position)
    SELECT $1, command_id, request_hash, coalesce(reply, 'null'),
           $6::int || '-' || pg_current_xact_id()::text || '-' || seq
    FROM given ORDER BY command_id
    ON CONFLICT DO NOTHING
    RETURNING command_id
)
SELECT (SELECT count(*) FROM written) AS written, (SELECT count(*) FROM handled) AS handled,
       pg_current_xact_id()::text AS xid,
       (SELECT array_agg(seq ORDER BY number) FROM given) AS seqs
"""


class Entry(NamedTuple):
    """The event that brings an aggregate to a version; not about a data subject."""

    aggregate_id: str
    version: int
    payload: Payload


class Effect(NamedTuple, Generic[ReplyT]):
    """What one command is answered, and its event where it has changed something."""

    cause: Command[ReplyT]
    reply: ReplyT
    entry: Entry | None = None


async def record(
    tx: Transaction,
    guild_id: GuildId,
    effects: Sequence[Effect[ReplyT]],
    *,
    now: clock.Now = clock.now,
    new_ids: clock.NewIds = clock.new_ids,
) -> list[Position | None]:
    """Writes events and replies; call it last, in the transaction that also writes the aggregates.

    Args:
        tx: of the guild.
        guild_id: of all causes.
        effects: of commands of one type, each event of another aggregate.
        now: clock.
        new_ids: maker of event ids.

    Returns:
        The position of each event, in the order of the effects, which is the log's; None where
        there is no event.

    Raises:
        VersionConflict: as `outbox.append`, for any of them; the transaction must not commit.
        AlreadyHandled: one of the commands took effect before, or is there twice; the same.
    """
    if not effects:
        return []
    numbered = list(zip(new_ids("evt", len(effects)), effects, strict=True))
    row = await tx.fetchrow(
        _RECORD,
        guild_id,
        "elders-guild",
        Priority.NORMAL.value,
        now(),
        orjson.dumps([_row(event_id, effect) for event_id, effect in numbered]).decode(),
        tx.epoch,
    )
    assert row is not None  # noqa: S101  # it counts
    if row["handled"] != len(effects):
        raise AlreadyHandled
    if row["written"] != sum(effect.entry is not None for effect in effects):
        raise VersionConflict("record", "")
    await audit_log.append(tx, [_told(event_id, effect) for event_id, effect in numbered])
    xid = int(row["xid"])
    positions = [None if seq is None else Position(xid, seq, tx.epoch) for seq in row["seqs"]]
    last = max((one for one in positions if one is not None), default=None)
    if last is not None:
        tx.note_events(
            [
                Written(event_id, effect.entry.payload.type, effect.cause.context.correlation_id)
                for event_id, effect in numbered
                if effect.entry is not None
            ],
            last,
        )
    return positions


def _told(event_id: str, effect: Effect[Any]) -> AuditEntry | None:
    if effect.entry is None:
        return None
    return audit.entry_of(effect.cause, effect.entry.aggregate_id, event_id, effect.entry.payload)


def _row(event_id: str, effect: Effect[Any]) -> dict[str, Any]:
    cause, entry = effect.cause, effect.entry
    row = {
        "command_id": cause.command_id,
        "request_hash": cause.request_hash,
        "reply": orjson.Fragment(inbox.as_kept(cause, effect.reply)),
    }
    if entry is None:
        return row
    context, payload = cause.context, entry.payload
    return row | {
        "aggregate_id": entry.aggregate_id,
        "version": entry.version,
        "event_id": event_id,
        "type": payload.type,
        "schema_version": payload.schema_version,
        "correlation_id": context.correlation_id,
        "causation_id": context.causation_id or cause.command_id,
        "principal_id": context.caller.principal_id,
        "data": orjson.Fragment(events.encode(payload)),
    }
