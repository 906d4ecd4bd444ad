"""Deliveries that were given up, with the reason, until somebody has them delivered again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from actors.events import DeliveryDeadLettered, DeliveryRedriven, Payload, StoredEvent
from actors.runtime.message import GuildId, Position
from actors.storage import system_events
from actors.storage.database import Database, Transaction
from actors.storage.leaders import Lease, hold
from actors.storage.log import Unreadable, decoded, readable, unknown
from actors.storage.system_events import SystemEvent

_MAX_REASON = 500

# The whole line of the log is kept: it outlives the partition it came from. What was erased is not.
_WRITE = """
INSERT INTO dead_letters AS letter
       (subscription, event_id, guild_id, attempts, reason, dead_at, event)
SELECT $1::text, $2::text, $3::text, $4::int, $5::text, clock_timestamp(), to_jsonb(line)
FROM (SELECT) AS given
LEFT JOIN events AS line ON line.xid = $6::text::xid8 AND line.seq = $7::bigint
WHERE NOT EXISTS (
    SELECT FROM subject_keys AS known
    WHERE known.guild_id = line.guild_id AND known.subject = line.sealed_for
      AND known.erased_at IS NOT NULL)
ON CONFLICT (subscription, event_id) DO UPDATE
SET attempts = excluded.attempts, reason = excluded.reason, dead_at = excluded.dead_at,
    event = coalesce(letter.event, excluded.event), redriven_at = NULL, requested_at = NULL,
    requested_by = NULL
RETURNING true
"""

_ABOVE = """
SELECT letter.event_id
FROM dead_letters AS letter
WHERE letter.subscription = $1
  AND ((letter.event->>'xid')::xid8, (letter.event->>'seq')::bigint) > ($2::text::xid8, $3)
"""
_EVENTS = """
SELECT line.* FROM dead_letters AS letter
CROSS JOIN LATERAL jsonb_populate_record(NULL::events, letter.event) AS line
WHERE letter.subscription = $1 AND letter.event_id = ANY($2) AND letter.event IS NOT NULL
ORDER BY line.xid, line.seq
"""
# Who is not served now, and what was erased, waits outside: none of it keeps others waiting.
_REQUESTED = """
SELECT letter.subscription, letter.requested_by, line.*
FROM dead_letters AS letter
CROSS JOIN LATERAL jsonb_populate_record(NULL::events, letter.event) AS line
WHERE letter.requested_at IS NOT NULL AND letter.redriven_at IS NULL
  AND letter.discarded_at IS NULL AND letter.event IS NOT NULL
  AND (letter.subscription = ANY($2::text[])
       OR split_part(letter.subscription, '@', 1) = ANY($3::text[]))
  AND NOT EXISTS (
      SELECT FROM subject_keys AS known
      WHERE known.guild_id = letter.guild_id AND known.subject = line.sealed_for
        AND known.erased_at IS NOT NULL)
ORDER BY letter.requested_at, line.xid, line.seq
LIMIT $1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One delivery that was given up."""

    subscription: str
    event_id: str
    guild_id: GuildId
    attempts: int
    reason: str
    dead_at: datetime
    redriven_at: datetime | None = None


class DeadLetters:
    """Written by the router under its lease; needs the role ``guild_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self,
        lease: Lease,
        *,
        subscription: str,
        title: str,
        event: StoredEvent | Unreadable,
        attempts: int,
        reason: str,
    ) -> None:
        """Keeps the delivery and says so in the log; one redriven in vain is listed again.

        Of an event whose data subject was erased meanwhile nothing is kept or said.

        Args:
            lease: of the router that gives up.
            subscription: under whose name it is kept.
            title: what people call the subscription.
            event: what could not be delivered.
            attempts: how often it was tried.
            reason: why, for people to read; cut after 500 characters.

        Raises:
            LeadershipLost: the lease is over; nothing was written.
        """
        reason = reason.replace("\x00", "")[:_MAX_REASON]
        async with self._database.across_guilds() as tx:
            await hold(tx, lease)
            written = await tx.fetchval(
                _WRITE,
                subscription,
                event.event_id,
                event.guild_id,
                attempts,
                reason,
                str(event.position.xid),
                event.position.seq,
            )
            # Who cannot hear of dead letters must not make more of them.
            if not written or event.type == DeliveryDeadLettered.type:
                return
            payload = DeliveryDeadLettered(
                subscription=title,
                event_id=event.event_id,
                attempts=attempts,
                reason=reason,
                event_type=event.type,
            )
            await _say(tx, subscription, event, payload)

    async def above(self, subscription: str, after: Position) -> frozenset[str]:
        """Ids of all given-up events behind a position: a restarted router passes them over."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(_ABOVE, subscription, str(after.xid), after.seq)
        return frozenset(row["event_id"] for row in rows)

    async def counts(self) -> dict[str, int]:
        """How many wait for somebody, by subscription."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(
                "SELECT subscription, count(*) AS number FROM dead_letters"
                " WHERE redriven_at IS NULL AND discarded_at IS NULL GROUP BY subscription"
            )
        return {row["subscription"]: row["number"] for row in rows}

    async def waiting(self, subscription: str, limit: int) -> list[DeadLetter]:
        """Those not redriven yet, the oldest first."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(
                "SELECT subscription, event_id, guild_id, attempts, reason, dead_at, redriven_at"
                " FROM dead_letters WHERE subscription = $1 AND redriven_at IS NULL"
                " ORDER BY dead_at, event_id LIMIT $2",
                subscription,
                limit,
            )
        return [DeadLetter(**dict(row)) for row in rows]

    async def events(self, subscription: str, event_ids: Sequence[str]) -> list[StoredEvent]:
        """Those of these ids that are dead letters and can be read, oldest first."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(_EVENTS, subscription, list(event_ids))
            return readable(await decoded(tx, rows))

    async def requested(
        self, limit: int, *, letters: Collection[str], declared: Collection[str]
    ) -> list[tuple[str, str, StoredEvent | Unreadable]]:
        """What is to be delivered once more: subscription, who asked, event; first asked first.

        Args:
            limit: how many at most.
            letters: names of subscriptions that are served.
            declared: first parts of such names, up to ``@``.
        """
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(_REQUESTED, limit, list(letters), list(declared))
            found = await decoded(tx, rows)
            return [
                (row["subscription"], row["requested_by"] or "", event or unknown(row, tx.epoch))
                for row, event in zip(rows, found, strict=True)
                if not (isinstance(event, StoredEvent) and event.is_erased)
            ]

    async def mark_redriven(
        self, lease: Lease, *, subscription: str, title: str, event: StoredEvent, requested_by: str
    ) -> None:
        """It took effect after all, and the log says so.

        Raises:
            LeadershipLost: the lease is over; it stays listed.
        """
        async with self._database.across_guilds() as tx:
            await hold(tx, lease)
            await tx.execute(
                "UPDATE dead_letters SET redriven_at = clock_timestamp()"
                " WHERE subscription = $1 AND event_id = $2",
                subscription,
                event.event_id,
            )
            payload = DeliveryRedriven(
                subscription=title, event_id=event.event_id, requested_by=requested_by
            )
            await _say(tx, subscription, event, payload)


async def _say(
    tx: Transaction, subscription: str, event: StoredEvent | Unreadable, payload: Payload
) -> None:
    correlation_id = event.correlation_id if isinstance(event, StoredEvent) else event.event_id
    happened = SystemEvent(
        guild_id=event.guild_id,
        aggregate_id=f"dead:{subscription}/{event.event_id}",
        payload=payload,
        correlation_id=correlation_id,
        causation_id=event.event_id,
    )
    await system_events.append(tx, [happened])
