"""What a reader of the log that is behind may need to know before it gets there."""

from collections.abc import Collection
from dataclasses import dataclass

from actors.errors import DependencyUnavailable
from actors.runtime.message import GuildId, Position
from actors.storage.database import Transaction
from actors.storage.frontier import Frontier

_OF_TYPES = """
SELECT guild_id, aggregate_id, xid::text AS xid, seq FROM events
WHERE (xid, seq) > ($1::text::xid8, $2) AND type = ANY($3)
ORDER BY events.xid, events.seq
LIMIT $4
"""


class TooMany(DependencyUnavailable):
    """The reader is so far behind that not even this can be said."""


@dataclass(frozen=True, slots=True)
class Mention:
    """That something happened to an aggregate, and where the log says so."""

    guild_id: GuildId
    aggregate_id: str
    position: Position


async def mentions(
    tx: Transaction, frontier: Frontier, types: Collection[str], limit: int
) -> list[Mention]:
    """The events of these types that are committed and that the frontier does not cover.

    Args:
        tx: of a role that sees all guilds.
        frontier: what the reader has read.
        types: full names.
        limit: lines of the log that are looked at.

    Raises:
        TooMany: the limit was reached, so there may be more.
    """
    settled = frontier.settled
    rows = await tx.fetch(_OF_TYPES, str(settled.xid), settled.seq, list(types), limit)
    if len(rows) == limit:
        raise TooMany("what the reader has missed")
    found = [
        Mention(
            GuildId(row["guild_id"]),
            row["aggregate_id"],
            Position(int(row["xid"]), row["seq"], tx.epoch),
        )
        for row in rows
    ]
    return [one for one in found if not frontier.covers(one.position)]
