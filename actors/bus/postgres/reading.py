"""A guild's own stretch of the log."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from actors import paging
from actors.bus.messages import BrowseEvents, EventPage
from actors.bus.postgres.progress import like
from actors.events import StoredEvent
from actors.runtime.message import GuildId, Position
from actors.storage import log, log_state
from actors.storage.database import Database
from actors.storage.frontier import Frontier, Snapshot

_SNAPSHOT = "SELECT pg_current_snapshot()::text"


class PostgresReadingStore:
    """The `ReadingStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def browse(self, query: BrowseEvents, limit: int) -> EventPage:
        """Keyset paging along the position, or along the correlation where one is given."""
        statement, args = _browse(query, self._database.epoch)
        async with self._database.read(query.context.caller.guild_id) as tx:
            rows = await tx.fetch(f"{statement} LIMIT ${len(args) + 1}", *args, limit + 1)
            shown = rows[:limit]
            found = await log.decoded(tx, shown)
        more = len(rows) > limit
        return EventPage(
            events=tuple(one for one in found if isinstance(one, StoredEvent)),
            next_cursor=paging.encode(str(_position(shown[-1], self._database.epoch)))
            if more
            else None,
        )

    async def advance(
        self, guild_id: GuildId, frontier: Frontier | None, limit: int
    ) -> tuple[Sequence[StoredEvent], Frontier, bool]:
        """As the router reads, but through the eyes of one guild."""
        if frontier is not None:
            log_state.checked(frontier.upto, self._database.epoch)
        async with self._database.read(guild_id) as tx:
            snapshot = Snapshot.parse(await tx.fetchval(_SNAPSHOT))
            if frontier is None:
                beginning = Frontier.at(Position(0, 0, tx.epoch))
                return (), beginning.after((), snapshot, truncated=False), False
            page = await log.advance(tx, frontier, snapshot, limit)
        return page.events, page.frontier, page.full


def _browse(query: BrowseEvents, epoch: int) -> tuple[str, list[Any]]:
    conditions = ["guild_id = $1"]
    args: list[Any] = [query.context.caller.guild_id]

    def where(condition: str, *values: Any) -> None:
        numbers = [f"${len(args) + 1 + index}" for index in range(len(values))]
        conditions.append(condition.format(*numbers))
        args.extend(values)

    if query.types:
        where("type LIKE ANY ({}::text[])", [like(pattern) for pattern in query.types])
    if query.correlation_id is not None:
        where("correlation_id = {}", query.correlation_id)
    if query.subject is not None:
        where("subject = {}", query.subject)
    if query.since is not None:
        where("recorded_at >= {}", query.since)
    if query.until is not None:
        where("recorded_at < {}", query.until)
    if query.cursor is not None:
        after = log_state.checked(_from_cursor(query.cursor), epoch)
        beyond = ">" if query.oldest_first else "<"
        where(f"(xid, seq) {beyond} ({{}}::text::xid8, {{}})", str(after.xid), after.seq)
    order = "ASC" if query.oldest_first else "DESC"
    statement = (
        f"SELECT * FROM events WHERE {' AND '.join(conditions)}"  # noqa: S608
        f" ORDER BY events.xid {order}, events.seq {order}"
    )
    return statement, args


def _from_cursor(cursor: str) -> Position:
    try:
        return Position.parse(paging.decode(cursor, 1)[0])
    except ValueError as error:
        raise paging.foreign() from error


def _position(row: asyncpg.Record, epoch: int) -> Position:
    return Position(int(row["xid"]), row["seq"], epoch)
