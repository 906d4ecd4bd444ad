"""Reading the event log, in an order in which nothing appears behind the reader's back."""

from collections.abc import Sequence

import asyncpg

from actors import events
from actors.events import Priority, StoredEvent
from actors.runtime.message import GuildId, Position
from actors.storage.database import Database

BEGINNING = Position(0, 0)

_COLUMNS = """
xid::text AS xid, seq, guild_id, event_id, source, type, aggregate_id, aggregate_version, priority,
occurred_at, correlation_id, causation_id, principal_id, data
"""

# A transaction that is still open may commit with an xid below those already visible. Reading only
# below the oldest open one (the horizon) leaves no room for an event to slip in behind the cursor.
_READ = f"""
SELECT {_COLUMNS} FROM events
WHERE (xid, seq) > ($1::text::xid8, $2)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, seq
LIMIT $3
"""  # noqa: S608  # constants only

_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"


class LogReader:
    """Reads the log across guilds, below the horizon; needs the role ``guild_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, after: Position, limit: int) -> list[StoredEvent]:
        """The next events behind ``after``, oldest first, at most ``limit``.

        Events of types this version does not know are left out; ``read`` never returns a batch
        that is empty only because of them.
        """
        while True:
            async with self._database.across_guilds() as tx:
                rows = await tx.fetch(_READ, str(after.xid), after.seq, limit)
            known = [event for row in rows if (event := from_row(row)) is not None]
            if known or not rows:
                return known
            after = Position(int(rows[-1]["xid"]), rows[-1]["seq"])

    async def end(self) -> Position:
        """A position such that every event below it can be read now."""
        async with self._database.across_guilds() as tx:
            return Position(int(await tx.fetchval(_HORIZON)), 0)


def from_row(row: asyncpg.Record) -> StoredEvent | None:
    """The event of one row of the log; None where its type is not known here."""
    try:
        payload = events.decode(row["type"], row["data"])
    except KeyError:
        return None
    return StoredEvent(
        event_id=row["event_id"],
        guild_id=GuildId(row["guild_id"]),
        source=row["source"],
        aggregate_id=row["aggregate_id"],
        aggregate_version=row["aggregate_version"],
        priority=Priority(row["priority"]),
        occurred_at=row["occurred_at"],
        correlation_id=row["correlation_id"],
        causation_id=row["causation_id"],
        principal_id=row["principal_id"],
        position=Position(int(row["xid"]), row["seq"]),
        payload=payload,
    )


async def of_correlation(
    database: Database, guild_id: GuildId, correlation_id: str, limit: int
) -> Sequence[StoredEvent]:
    """One guild's events of one correlation, oldest first: a timeline."""
    async with database.read(guild_id) as tx:
        rows = await tx.fetch(
            f"SELECT {_COLUMNS} FROM events WHERE guild_id = $1 AND correlation_id = $2"  # noqa: S608
            " ORDER BY xid, seq LIMIT $3",
            guild_id,
            correlation_id,
            limit,
        )
    return [event for row in rows if (event := from_row(row)) is not None]
