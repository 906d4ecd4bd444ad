"""Deliveries that were given up, with the reason, until somebody has them delivered again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from actors.runtime.message import GuildId, Position
from actors.storage.database import Database
from actors.storage.leaders import LEAD, LeadershipLost, Lease

_MAX_REASON = 500

# Fenced like the cursors: a stale router must not give up what the present one still tries.
_WRITE = f"""
WITH {LEAD}, written AS (
    INSERT INTO dead_letters (subscription, event_id, guild_id, attempts, reason, dead_at, event)
    SELECT $3, $4, $5, $6, $7, clock_timestamp(),
           (SELECT to_jsonb(line) FROM events AS line WHERE line.event_id = $4)
    FROM lead
    ON CONFLICT (subscription, event_id) DO UPDATE
    SET attempts = excluded.attempts, reason = excluded.reason, dead_at = excluded.dead_at,
        redriven_at = NULL
)
SELECT count(*) FROM lead
"""  # noqa: S608  # constants only

_ABOVE = """
SELECT letter.event_id
FROM dead_letters AS letter
WHERE letter.subscription = $1
  AND ((letter.event->>'xid')::xid8, (letter.event->>'seq')::bigint) > ($2::text::xid8, $3)
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
        event_id: str,
        guild_id: GuildId,
        attempts: int,
        reason: str,
    ) -> None:
        """Keeps the delivery; one that was redriven in vain is listed again.

        Raises:
            LeadershipLost: the lease is over; nothing was written.
        """
        async with self._database.across_guilds() as tx:
            leading = await tx.fetchval(
                _WRITE,
                lease.name,
                lease.epoch,
                subscription,
                event_id,
                guild_id,
                attempts,
                reason.replace("\x00", "")[:_MAX_REASON],
            )
            if not leading:
                raise LeadershipLost(lease.name, lease.epoch)

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
                " WHERE redriven_at IS NULL GROUP BY subscription"
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

    async def listed(self, subscription: str, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of these ids that are dead letters, redriven or not."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(
                "SELECT event_id FROM dead_letters WHERE subscription = $1 AND event_id = ANY($2)",
                subscription,
                list(event_ids),
            )
        return frozenset(row["event_id"] for row in rows)

    async def mark_redriven(self, subscription: str, event_ids: Sequence[str]) -> None:
        """They took effect after all."""
        async with self._database.across_guilds() as tx:
            await tx.execute(
                "UPDATE dead_letters SET redriven_at = clock_timestamp()"
                " WHERE subscription = $1 AND event_id = ANY($2)",
                subscription,
                list(event_ids),
            )
