"""How far each subscription has come. Only the present leader can move a cursor, only forward."""

from collections.abc import Mapping, Sequence

from actors.runtime.message import GuildId, Position
from actors.storage.database import Database, Transaction
from actors.storage.leaders import LEAD, LeadershipLost, Lease, hold

_SAVE = f"""
WITH {LEAD}, moved AS (
    INSERT INTO cursors AS kept (subscription, xid, seq, moved_at)
    SELECT subscription, xid::xid8, seq, clock_timestamp()
    FROM unnest($3::text[], $4::text[], $5::bigint[]) AS new(subscription, xid, seq), lead
    ORDER BY subscription
    ON CONFLICT (subscription) DO UPDATE
    SET xid = excluded.xid, seq = excluded.seq, moved_at = excluded.moved_at
    WHERE (kept.xid, kept.seq) < (excluded.xid, excluded.seq)
)
SELECT count(*) FROM lead
"""  # noqa: S608  # constants only

_LAG = """
SELECT count(*) FROM (
    SELECT 1 FROM events
    WHERE (xid, seq) > ($1::text::xid8, $2) AND type LIKE ANY ($3)
      AND ($5::text IS NULL OR guild_id = $5)
    LIMIT $4
) AS behind
"""
# Of routers that share the log each keeps a cursor of its part.
_REACHED = """
WITH spread AS (SELECT router_partitions AS parts FROM log_state)
SELECT cursors.xid::text AS xid, cursors.seq, count(*) OVER () = spread.parts AS complete
FROM cursors CROSS JOIN spread
WHERE split_part(subscription, '#', 1) = $1
  AND split_part(subscription, '/', 2) = CASE parts WHEN 1 THEN '' ELSE parts::text END
ORDER BY cursors.xid, cursors.seq LIMIT 1
"""

_FORGET = """
WITH alive AS (
    SELECT subscription_id || '@' || generation AS name FROM subscriptions
    UNION ALL SELECT replay_id FROM replays WHERE state = 'running'
), stale AS (
    DELETE FROM cursors
    WHERE subscription ~ '^(sub|rpl)_'
      AND split_part(subscription, '#', 1) NOT IN (SELECT name FROM alive)
)
DELETE FROM pull_deliveries AS line
WHERE NOT EXISTS (SELECT 1 FROM alive WHERE alive.name = line.subscription)
  AND NOT EXISTS (SELECT 1 FROM replays
                  WHERE replay_id = line.subscription AND state = 'completed'
                    AND finished_at > now() - interval '30 days')
"""


class Cursors:
    """The cursors of all subscriptions; needs the role ``guild_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, subscriptions: Sequence[str]) -> dict[str, Position]:
        """Where each one stands; a new one is left out."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(
                "SELECT subscription, xid::text AS xid, seq FROM cursors"
                " WHERE subscription = ANY($1)",
                list(subscriptions),
            )
        return {
            row["subscription"]: Position(int(row["xid"]), row["seq"], self._database.epoch)
            for row in rows
        }

    async def save(self, lease: Lease, positions: Mapping[str, Position]) -> None:
        """Moves cursors forward; one that is there already, or further, stays.

        Raises:
            LeadershipLost: the lease is over; nothing was moved.
        """
        async with self._database.across_guilds() as tx:
            leading = await tx.fetchval(
                _SAVE,
                lease.name,
                lease.epoch,
                list(positions),
                [str(position.xid) for position in positions.values()],
                [position.seq for position in positions.values()],
            )
            if not leading:
                raise LeadershipLost(lease.name, lease.epoch)

    async def lag(
        self,
        after: Position,
        types: Sequence[str],
        at_most: int,
        *,
        guild_id: GuildId | None = None,
    ) -> int:
        """How many events lie behind a position, counted up to ``at_most``.

        Args:
            after: the position.
            types: wire names; ``*`` stands for any run of characters.
            at_most: the bound.
            guild_id: of this guild only; None: of all.
        """
        patterns = [_like(one) for one in types]
        async with self._database.across_guilds() as tx:
            count: int = await tx.fetchval(
                _LAG, str(after.xid), after.seq, patterns, at_most, guild_id
            )
        return count

    async def forget_stale(self, lease: Lease) -> None:
        """Deletes cursors, and lines to be pulled, of what is declared no more.

        Raises:
            LeadershipLost: the lease is over; nothing was deleted.
        """
        async with self._database.across_guilds() as tx:
            await hold(tx, lease)
            await tx.execute(_FORGET)


async def reached(tx: Transaction, subscription: str) -> Position | None:
    """Everything at or below it is acknowledged or dead-lettered, whichever router has it.

    None: nobody can tell; not every router has a cursor of the subscription.

    Args:
        tx: of the role ``guild_log``.
        subscription: its name.
    """
    row = await tx.fetchrow(_REACHED, subscription)
    if row is None or not row["complete"]:
        return None
    return Position(int(row["xid"]), row["seq"], tx.epoch)


def _like(pattern: str) -> str:
    for special in "\\%_":
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%")
