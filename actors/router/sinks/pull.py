"""Lines in PostgreSQL that wait until a subscriber pulls them."""

from collections.abc import Sequence

from actors.errors import Overloaded
from actors.events import StoredEvent
from actors.router.pace import Pace
from actors.router.window import Lane, lane_of
from actors.settings import BusSettings
from actors.storage.database import Database

_WAITING = """
SELECT count(*) FROM (
    SELECT 1 FROM pull_deliveries WHERE subscription = $1 AND finished_at IS NULL LIMIT $2
) AS waiting
"""
# A line that was buried is one again when somebody redrives its dead letter.
_ADD = """
INSERT INTO pull_deliveries AS line
       (guild_id, subscription, xid, seq, event_id, aggregate_id, urgent)
SELECT $1, $2, xid::xid8, seq, event_id, aggregate_id, urgent
FROM unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::boolean[])
     AS new(xid, seq, event_id, aggregate_id, urgent)
ON CONFLICT (subscription, xid, seq) DO UPDATE
SET attempt = 0, available_at = now(), finished_at = NULL
WHERE line.available_at = '-infinity'
"""


class PullSink:
    """Writes lines, up to as many as may wait. Repeating a line changes nothing."""

    def __init__(self, database: Database, settings: BusSettings) -> None:
        self.batch = settings.max_pull
        self.pace = Pace()
        self._database = database
        self._settings = settings

    async def deliver(self, delivery: str, events: Sequence[StoredEvent], timeout_s: float) -> None:
        """Returns after the commit.

        Raises:
            Overloaded: as many wait as may; whoever pulls makes room.
        """
        bound = self._settings.max_pull_backlog
        async with self._database.across_guilds() as tx:
            if await tx.fetchval(_WAITING, delivery, bound) >= bound:
                raise Overloaded(self._settings.retry_after_s, "the backlog")
            await tx.execute(
                _ADD,
                events[0].guild_id,
                delivery,
                [str(event.position.xid) for event in events],
                [event.position.seq for event in events],
                [event.event_id for event in events],
                [event.aggregate_id for event in events],
                [lane_of(event) is Lane.URGENT for event in events],
            )

    async def close(self) -> None:
        """The database is the router's: it stays open."""
