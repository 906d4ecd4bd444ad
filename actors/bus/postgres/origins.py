"""Where in the log to begin."""

from datetime import datetime
from typing import assert_never

from actors.bus.messages import Origin
from actors.runtime.message import GuildId, Position
from actors.storage import log_state
from actors.storage.database import Transaction

_FIRST_SINCE = """
SELECT events.xid::text AS xid, seq FROM events
WHERE guild_id = $1 AND recorded_at >= $2 ORDER BY events.xid, seq LIMIT 1
"""


async def resolve(tx: Transaction, guild_id: GuildId, origin: Origin) -> Position:
    """The position behind which everything is heard that the origin asks for.

    Raises:
        PositionOfAnotherEpoch: it is a position of a log that was moved since.
    """
    match origin:
        case Position():
            return log_state.checked(origin, tx.epoch)
        case "beginning":
            return Position(0, 0, tx.epoch)
        case "end":
            return await end(tx)
        case datetime():
            row = await tx.fetchrow(_FIRST_SINCE, guild_id, origin)
            if row is None:
                return await end(tx)
            return Position(int(row["xid"]), row["seq"] - 1, tx.epoch)
        case _:
            assert_never(origin)


async def end(tx: Transaction) -> Position:
    """A position that nothing is committed below any more.

    Below the oldest open transaction: it may yet commit, and would be heard then. What was written
    since it began is heard again, which is the price of missing nothing.
    """
    xid = await tx.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
    return Position(int(xid), 0, tx.epoch)
