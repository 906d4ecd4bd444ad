"""How far each subscription has come. Only the present leader can move a cursor, only forward."""

from collections.abc import Mapping, Sequence

from actors.runtime.message import Position
from actors.storage.database import Database
from actors.storage.leaders import LEAD, LeadershipLost, Lease

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
    SELECT 1 FROM events WHERE (xid, seq) > ($1::text::xid8, $2) AND type = ANY($3) LIMIT $4
) AS behind
"""


class Cursors:
    """The cursors of all subscriptions; needs the role ``guild_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, subscriptions: Sequence[str]) -> dict[str, Position]:
        """Where each one stands; a new one stands at the log's beginning."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(
                "SELECT subscription, xid::text AS xid, seq FROM cursors"
                " WHERE subscription = ANY($1)",
                list(subscriptions),
            )
        beginning = Position(0, 0, self._database.epoch)
        found = {
            row["subscription"]: Position(int(row["xid"]), row["seq"], self._database.epoch)
            for row in rows
        }
        return {name: found.get(name, beginning) for name in subscriptions}

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

    async def lag(self, after: Position, types: Sequence[str], at_most: int) -> int:
        """How many events of these types lie behind a position, counted up to ``at_most``."""
        async with self._database.across_guilds() as tx:
            count: int = await tx.fetchval(_LAG, str(after.xid), after.seq, list(types), at_most)
        return count
