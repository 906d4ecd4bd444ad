"""Which log this is, and whether it still lives on the server that wrote it.

A position begins with a transaction id, and those belong to one server. A dump that is restored
elsewhere brings positions that lie above, or among, the new server's: events would be skipped in
silence. So the log remembers its server, and nobody works on it anywhere else before
`python -m cluster.renumber` has begun a new epoch.
"""

import asyncpg

from actors.errors import PositionOfAnotherEpoch
from actors.runtime.message import Position

_PRESENT = """
SELECT epoch, state.system_identifier = control.system_identifier AS at_home
FROM log_state AS state, pg_control_system() AS control
"""


class LogMoved(RuntimeError):
    """The log was written on another server and is not renumbered yet."""

    def __str__(self) -> str:
        return (
            "this database was restored from another server: its positions mean nothing here. "
            "Run `python -m cluster.renumber` once, while nothing else is connected"
        )


async def present_epoch(
    source: "asyncpg.Pool[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]",
) -> int:
    """The epoch of the log in this database.

    Raises:
        LogMoved: the server is not the one that wrote it.
    """
    row = await source.fetchrow(_PRESENT)
    if row is None or not row["at_home"]:
        raise LogMoved
    epoch: int = row["epoch"]
    return epoch


def checked(position: Position, epoch: int) -> Position:
    """The position, when it is of this epoch.

    Raises:
        PositionOfAnotherEpoch: it is not, and cannot be compared with any that is.
    """
    if position.epoch != epoch:
        raise PositionOfAnotherEpoch(position.epoch, epoch)
    return position
