"""Reading the event log, in an order in which nothing appears behind the reader's back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import asyncpg
import orjson
import pydantic

from actors import events
from actors.events import Erased, Payload, Priority, StoredEvent
from actors.runtime.message import GuildId, Position
from actors.storage import cursors, sealing, seals, unread
from actors.storage.database import Database, Transaction
from actors.storage.frontier import Frontier, Snapshot
from actors.storage.seals import BrokenSeal, Place
from actors.storage.unread import Mention
from actors.storage.vault import Lost, SubjectKey, Whose

BEGINNING = Position(0, 0)

# `xid` is text here: what sorts by it must name the table, or it sorts text ("1000" below "999").
_COLUMNS = """
xid::text AS xid, seq, guild_id, event_id, source, source_id, type, schema_version, subject,
aggregate_id, aggregate_version, priority, occurred_at, recorded_at, correlation_id, causation_id,
principal_id, attributes, sealed_for, data
"""

# A transaction that is still open may commit with an xid below those already visible. Reading only
# below the oldest open one (the horizon) leaves no room for an event to slip in behind the cursor.
_READ = f"""
SELECT {_COLUMNS} FROM events
WHERE (xid, seq) > ($1::text::xid8, $2)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY events.xid, events.seq
LIMIT $3
"""  # noqa: S608  # constants only

_READ_ABOVE = f"""
SELECT {_COLUMNS} FROM events
WHERE (xid, seq) > ($1::text::xid8, $2)
ORDER BY events.xid, events.seq
LIMIT $3
"""  # noqa: S608  # constants only

# Behind a frontier: what its holes have come to hold, and what is above it. Each hole is looked up
# by itself (LATERAL with a LIMIT): joined as one, the whole log may be read to merge them.
_READ_BEHIND = f"""
SELECT {_COLUMNS} FROM (
    (SELECT found.* FROM unnest($4::text[], $5::bigint[]) AS hole(xid, seq),
     LATERAL (SELECT * FROM events
              WHERE xid = hole.xid::xid8 AND events.seq > hole.seq {{within}}
              ORDER BY events.xid, events.seq LIMIT $3) AS found
     ORDER BY found.xid, found.seq LIMIT $3)
    UNION ALL
    (SELECT * FROM events WHERE (xid, seq) > ($1::text::xid8, $2) {{within}}
     ORDER BY events.xid, events.seq LIMIT $3)
) AS events
ORDER BY events.xid, events.seq
LIMIT $3
"""  # noqa: S608  # constants only
_OF_ALL = _READ_BEHIND.format(within="")
_OF_GUILD = _READ_BEHIND.format(within="AND events.guild_id = $6")

# A page and the snapshot it was read in, as one statement. The snapshot is there without a page.
_WITH_SNAPSHOT = """
SELECT pg_current_snapshot()::text AS snapshot, page.*
FROM (SELECT) AS always LEFT JOIN ({page}) AS page ON true
ORDER BY page.xid::xid8, page.seq
"""
_READ_ABOVE_AT_ONCE = _WITH_SNAPSHOT.format(page=_READ_ABOVE)
_READ_BEHIND_AT_ONCE = _WITH_SNAPSHOT.format(page=_OF_ALL)
_READ_OF_GUILD_AT_ONCE = _WITH_SNAPSHOT.format(page=_OF_GUILD)

_SNAPSHOT = "SELECT pg_current_snapshot()::text"

_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"


_NO_KEY = Lost("the key of its data subject was not looked for")
_NONE: Mapping[Whose, SubjectKey] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event of a known type whose data this version cannot read; ``reason`` says why."""

    event_id: str
    guild_id: GuildId
    type: str
    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the log.

    Attributes:
        events: in order. Types this version does not know, and what was erased, are left out.
        unreadable: what should have been among the events and cannot.
        end: the last position looked at, also where nothing there was of use; equal to where the
            reading began when there was nothing more to read.
        full: there may be more behind ``end``.
    """

    events: list[StoredEvent]
    unreadable: list[Unreadable]
    end: Position
    full: bool


@dataclass(frozen=True, slots=True)
class Advance:
    """What is visible behind a frontier.

    Attributes:
        events: in log order, which is the order of versions within each aggregate. Types this
            version does not know, and what was erased, are left out.
        unreadable: what should have been among the events and cannot.
        frontier: from where to go on.
        full: there may be more behind it now.
    """

    events: list[StoredEvent]
    unreadable: list[Unreadable]
    frontier: Frontier
    full: bool


class LogReader:
    """Reads the log across guilds; needs the role ``guild_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def advance(self, frontiers: Sequence[Frontier], limit: int) -> list[Advance]:
        """Everything visible behind each frontier, at most ``limit`` lines of the log.

        All answers are of one snapshot: frontiers that have caught up come back equal.
        """
        if len(frontiers) == 1:
            return [await self._advance_one(frontiers[0], limit)]
        async with self._database.snapshot_across_guilds() as tx:
            snapshot = Snapshot.parse(await tx.fetchval(_SNAPSHOT))
            return [await advance(tx, frontier, snapshot, limit) for frontier in frontiers]

    async def ahead(self, guild_id: GuildId, frontier: Frontier, limit: int) -> Advance:
        """What is visible of one guild behind the frontier, at most ``limit`` lines of it.

        The frontier of the answer speaks of this guild alone.
        """
        place = [*_behind(frontier, limit), guild_id]
        return await self._page(_READ_OF_GUILD_AT_ONCE, place, frontier, limit)

    async def _advance_one(self, frontier: Frontier, limit: int) -> Advance:
        query = _READ_BEHIND_AT_ONCE if frontier.holes else _READ_ABOVE_AT_ONCE
        return await self._page(query, _place(frontier, limit), frontier, limit)

    async def _page(
        self, query: str, place: Sequence[Any], frontier: Frontier, limit: int
    ) -> Advance:
        rows = await self._database.fetch_across_guilds(query, *place)
        snapshot = Snapshot.parse(rows[0]["snapshot"])
        if rows[0]["xid"] is None:
            rows = []
        found = await self._decoded(rows)
        return _advanced(frontier, rows, found, snapshot, limit, self._database.epoch)

    async def _decoded(self, rows: Sequence[asyncpg.Record]) -> "list[Decoded]":
        """What the rows hold; a transaction more only where some of it is sealed."""
        if all(row["sealed_for"] is None for row in rows):
            return [from_row(row, self._database.epoch) for row in rows]
        async with self._database.across_guilds() as tx:
            return await decoded(tx, rows)

    async def scan(self, after: Position, limit: int) -> Page:
        """The next stretch behind ``after`` below the horizon, at most ``limit`` lines."""
        async with self._database.across_guilds() as tx:
            rows = await tx.fetch(_READ, str(after.xid), after.seq, limit)
            events, unreadable = _sorted_out(await decoded(tx, rows))
        end = _position(rows[-1], self._database.epoch) if rows else after
        return Page(events, unreadable, end, full=len(rows) == limit)

    async def mentions(
        self,
        frontier: Frontier,
        types: Collection[str],
        limit: int,
        closing: Collection[str] = (),
    ) -> list[Mention]:
        """See `unread.mentions`."""
        async with self._database.statements() as tx:
            return await unread.mentions(tx, frontier, types, limit, closing)

    async def reached(self, subscription: str) -> Position | None:
        """See `cursors.reached`."""
        async with self._database.statements() as tx:
            return await cursors.reached(tx, subscription)

    async def read(self, after: Position, limit: int) -> list[StoredEvent]:
        """The next events behind ``after``, oldest first, at most ``limit``.

        What this version cannot use is left out; the answer is empty only at the log's end.
        """
        while True:
            page = await self.scan(after, limit)
            if page.events or not page.full:
                return page.events
            after = page.end

    async def erased(self, events: Sequence[StoredEvent]) -> frozenset[str]:
        """Ids of those whose data subject was erased since they were read.

        The database is asked when what is known is older than ``log.key_cache_s``.
        """
        whose = {event.event_id: (event.guild_id, event.sealed_for) for event in events}
        wanted = {(guild_id, digest) for guild_id, digest in whose.values() if digest is not None}
        keys = sealing.recalled(self._database.vault, wanted)
        if len(keys) < len(wanted):
            async with self._database.across_guilds() as tx:
                keys = await sealing.keys(tx, wanted)
        gone = {one for one, key in keys.items() if key is None}
        return frozenset(event_id for event_id, one in whose.items() if one in gone)

    async def end(self) -> Position:
        """A position such that every event below it can be read now."""
        async with self._database.across_guilds() as tx:
            return Position(int(await tx.fetchval(_HORIZON)), 0, self._database.epoch)


async def advance(tx: Transaction, frontier: Frontier, snapshot: Snapshot, limit: int) -> Advance:
    """The next page behind one frontier, as the transaction's role sees it.

    Args:
        tx: of isolation level repeatable read, so that ``snapshot`` is also the page's.
        frontier: what was read before.
        snapshot: of this transaction.
        limit: lines of the log.
    """
    query = _OF_ALL if frontier.holes else _READ_ABOVE
    rows = await tx.fetch(query, *_place(frontier, limit))
    return _advanced(frontier, rows, await decoded(tx, rows), snapshot, limit, tx.epoch)


def _place(frontier: Frontier, limit: int) -> list[Any]:
    """The arguments of a statement that reads behind it; one without holes looks into none."""
    place = _behind(frontier, limit)
    return place if frontier.holes else place[:3]


def _behind(frontier: Frontier, limit: int) -> list[Any]:
    upto, holes = frontier.upto, frontier.holes
    starts = [str(hole.xid) for hole in holes], [hole.seq for hole in holes]
    return [str(upto.xid), upto.seq, limit, *starts]


def _advanced(
    frontier: Frontier,
    rows: Sequence[asyncpg.Record],
    found: "Sequence[Decoded]",
    snapshot: Snapshot,
    limit: int,
    epoch: int,
) -> Advance:
    events, unreadable = _sorted_out(found)
    positions = [_position(row, epoch) for row in rows[-1:]]
    full = len(rows) == limit
    return Advance(
        events, unreadable, frontier.after(positions, snapshot, truncated=full), full=full
    )


Decoded = StoredEvent | Unreadable | None
"""What a row of the log holds; None where its type is not known here."""


async def decoded(tx: Transaction, rows: Sequence[asyncpg.Record]) -> list[Decoded]:
    """The event of each row. Of one that was erased there is the envelope, see `Erased`.

    Args:
        tx: that read the rows; its role sees the keys of data subjects.
        rows: of the log, or what is kept of it elsewhere.
    """
    keys = await sealing.keys_of(tx, rows)
    return [from_row(row, tx.epoch, keys) for row in rows]


def readable(found: Sequence[Decoded]) -> list[StoredEvent]:
    """Those whose payload is there."""
    return [one for one in found if isinstance(one, StoredEvent) and not one.is_erased]


def _sorted_out(found: Sequence[Decoded]) -> tuple[list[StoredEvent], list[Unreadable]]:
    return readable(found), [one for one in found if isinstance(one, Unreadable)]


def from_row(row: asyncpg.Record, epoch: int, keys: Mapping[Whose, SubjectKey] = _NONE) -> Decoded:
    """The event of one row.

    Args:
        row: of the log.
        epoch: of the log.
        keys: of the data subjects that are sealed among the rows.
    """
    sealed_for = row["sealed_for"]
    try:
        if sealed_for is None:
            payload = events.decode(row["type"], row["data"])
        else:
            payload = _opened(row, keys.get((row["guild_id"], sealed_for), _NO_KEY))
    except KeyError:
        return None
    except BrokenSeal as error:
        return _unreadable(row, epoch, f"sealed: {error}")
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Where in the payload: what is sealed may be named by it.
        where = "" if sealed_for is not None else f"{'.'.join(map(str, first['loc']))}: "
        return _unreadable(row, epoch, f"unreadable: {where}{first['type']}")
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
        position=_position(row, epoch),
        payload=payload,
        recorded_at=row["recorded_at"],
        source_id=row["source_id"],
        subject=row["subject"],
        schema_version=row["schema_version"],
        attributes={} if row["attributes"] is None else orjson.loads(row["attributes"]),
        sealed_for=row["sealed_for"],
    )


def _opened(row: asyncpg.Record, key: SubjectKey) -> Payload:
    match key:
        case None:
            return Erased(name=row["type"])
        case Lost(reason):
            raise BrokenSeal(reason)
        case _:
            place = Place(row["guild_id"], row["event_id"], row["type"])
            return events.decode(row["type"], seals.unseal(key, place, row["data"]))


def unknown(row: asyncpg.Record, epoch: int) -> Unreadable:
    """A row of a type that this version does not know, where it cannot be passed over."""
    return _unreadable(row, epoch, f"unreadable: {row['type']} is not known")


def _unreadable(row: asyncpg.Record, epoch: int, reason: str) -> Unreadable:
    return Unreadable(
        row["event_id"], GuildId(row["guild_id"]), row["type"], _position(row, epoch), reason
    )


def _position(row: asyncpg.Record, epoch: int) -> Position:
    return Position(int(row["xid"]), row["seq"], epoch)


async def of_correlation(
    database: Database, guild_id: GuildId, correlation_id: str, limit: int
) -> Sequence[StoredEvent]:
    """One guild's events of one correlation, oldest first: a timeline. Without what was erased."""
    async with database.read(guild_id) as tx:
        rows = await tx.fetch(
            f"SELECT {_COLUMNS} FROM events WHERE guild_id = $1 AND correlation_id = $2"  # noqa: S608
            " ORDER BY events.xid, events.seq LIMIT $3",
            guild_id,
            correlation_id,
            limit,
        )
        return readable(await decoded(tx, rows))
