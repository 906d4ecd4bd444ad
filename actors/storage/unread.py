"""What a reader of the log that is behind may need to know before it gets there."""

from collections.abc import Collection
from dataclasses import dataclass

from actors import access
from actors.errors import DependencyUnavailable
from actors.runtime.message import GuildId, Position
from actors.storage.database import Transaction
from actors.storage.frontier import Frontier

_WANTED = """
(events.type = ANY($3) OR events.type = ANY($7) AND events.data->>'access_level' <> ALL($8))
"""

# What the holes have come to hold, and what is above them: what was read stays unread. Each hole
# is looked up by itself (LATERAL with a LIMIT): joined, the whole log may be read to merge them.
_OF_TYPES = f"""
SELECT guild_id, aggregate_id, xid::text AS xid, seq FROM (
    (SELECT found.* FROM unnest($5::text[], $6::bigint[]) AS hole(xid, seq),
     LATERAL (SELECT * FROM events
              WHERE xid = hole.xid::xid8 AND events.seq > hole.seq AND {_WANTED}
              ORDER BY events.xid, events.seq LIMIT $4) AS found
     ORDER BY found.xid, found.seq LIMIT $4)
    UNION ALL
    (SELECT * FROM events WHERE (xid, seq) > ($1::text::xid8, $2) AND {_WANTED}
     ORDER BY events.xid, events.seq LIMIT $4)
) AS events
ORDER BY events.xid, events.seq
LIMIT $4
"""  # noqa: S608  # constants only


class TooMany(DependencyUnavailable):
    """The reader is so far behind that not even this can be said."""


@dataclass(frozen=True, slots=True)
class Mention:
    """That something happened to an aggregate, and where the log says so."""

    guild_id: GuildId
    aggregate_id: str
    position: Position


async def mentions(
    tx: Transaction,
    frontier: Frontier,
    types: Collection[str],
    limit: int,
    closing: Collection[str] = (),
) -> list[Mention]:
    """The events of these types that are committed and that the frontier does not cover.

    Args:
        tx: of a role that sees all guilds.
        frontier: what the reader has read.
        types: full names.
        limit: lines of the log that are looked at.
        closing: further types; of these only what bears an access level that is not open.

    Raises:
        TooMany: the limit was reached, so there may be more.
    """
    upto, holes = frontier.upto, frontier.holes
    rows = await tx.fetch(
        _OF_TYPES,
        str(upto.xid),
        upto.seq,
        list(types),
        limit,
        [str(hole.xid) for hole in holes],
        [hole.seq for hole in holes],
        list(closing),
        sorted(access.OPEN),
    )
    if len(rows) == limit:
        raise TooMany("what the reader has missed")
    return [
        Mention(
            GuildId(row["guild_id"]),
            row["aggregate_id"],
            Position(int(row["xid"]), row["seq"], tx.epoch),
        )
        for row in rows
    ]
