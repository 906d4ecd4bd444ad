"""Lines that nobody shall pull any more."""

from collections.abc import Sequence
from typing import NamedTuple

from actors.bus.messages import Subscription
from actors.bus.postgres.progress import delivery_name
from actors.events import DeliveryDeadLettered
from actors.runtime.message import Context
from actors.storage import system_events
from actors.storage.database import Transaction
from actors.storage.system_events import SystemEvent

_MAX_REASON = 500

# A buried line is told from an acknowledged one by a lease that ended before it was finished.
_FINISH = """
UPDATE pull_deliveries AS line SET finished_at = now(), available_at = '-infinity'
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS given(subscription, xid, seq)
WHERE (line.subscription, line.xid, line.seq) = (given.subscription, given.xid::xid8, given.seq)
"""
# What was erased since it was lent is left out: nobody could deliver or read such a letter.
_KEEP = """
INSERT INTO dead_letters (subscription, event_id, guild_id, attempts, reason, dead_at, event)
SELECT kept_as, line.event_id, line.guild_id, line.attempt, given.reason, clock_timestamp(),
       to_jsonb(events)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
     AS given(subscription, xid, seq, kept_as, reason)
JOIN pull_deliveries AS line
     ON (line.subscription, line.xid, line.seq) = (given.subscription, given.xid::xid8, given.seq)
LEFT JOIN events ON events.xid = line.xid AND events.seq = line.seq
WHERE NOT EXISTS (
    SELECT FROM subject_keys AS known
    WHERE known.guild_id = line.guild_id AND known.subject = events.sealed_for
      AND known.erased_at IS NOT NULL)
ON CONFLICT (subscription, event_id) DO UPDATE
SET attempts = excluded.attempts, reason = excluded.reason, dead_at = excluded.dead_at,
    event = excluded.event, redriven_at = NULL, requested_at = NULL, requested_by = NULL,
    discarded_at = NULL, discarded_by = NULL
RETURNING subscription, event_id, attempts, reason, coalesce(event->>'type', '') AS type,
          coalesce(event->>'correlation_id', '') AS correlation_id
"""


class Grave(NamedTuple):
    """A line and why it is given up."""

    subscription: str
    xid: int
    seq: int
    reason: str


async def finish(tx: Transaction, graves: Sequence[Grave]) -> None:
    """Nothing is left of these that could be delivered: they end in silence."""
    if graves:
        await tx.execute(_FINISH, *_places(graves))


async def bury(
    tx: Transaction, context: Context, subscription: Subscription, graves: Sequence[Grave]
) -> int:
    """Keeps the whole events as dead letters of the subscription, and says so in the log.

    Those whose data subject was erased end in silence. Returns how many are kept.
    """
    if not graves:
        return 0
    key = delivery_name(subscription)
    reasons = [grave.reason.replace("\x00", "")[:_MAX_REASON] for grave in graves]
    kept_as = [
        key if grave.subscription == key else f"{key}~{grave.subscription}" for grave in graves
    ]
    rows = await tx.fetch(_KEEP, *_places(graves), kept_as, reasons)
    await finish(tx, graves)
    await system_events.append(
        tx,
        [
            SystemEvent(
                guild_id=context.caller.guild_id,
                aggregate_id=f"dead:{row['subscription']}/{row['event_id']}",
                payload=DeliveryDeadLettered(
                    subscription=subscription.name,
                    event_id=row["event_id"],
                    attempts=row["attempts"],
                    reason=row["reason"],
                    event_type=row["type"],
                ),
                correlation_id=row["correlation_id"] or context.correlation_id,
                causation_id=row["event_id"],
            )
            for row in rows
        ],
    )
    return len(rows)


def _places(graves: Sequence[Grave]) -> tuple[list[str], list[str], list[int]]:
    return (
        [grave.subscription for grave in graves],
        [str(grave.xid) for grave in graves],
        [grave.seq for grave in graves],
    )
