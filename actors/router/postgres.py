"""The router's store on PostgreSQL."""

from collections.abc import Mapping, Sequence

from actors.events import StoredEvent
from actors.router.store import Start
from actors.runtime.message import GuildId, Position
from actors.storage import log
from actors.storage.cursors import Cursors
from actors.storage.database import Database
from actors.storage.dead_letters import DeadLetters
from actors.storage.leaders import Leaders, Lease
from actors.storage.log import LogReader, Page


class PostgresRouterStore:
    """A `RouterStore` for one lease; the database is of the role ``guild_log``."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._log = LogReader(database)
        self._cursors = Cursors(database)
        self._dead = DeadLetters(database)
        self._leaders = Leaders(database)

    async def start(self, subscriptions: Sequence[str]) -> dict[str, Start]:
        """Where each subscription goes on."""
        cursors = await self._cursors.load(subscriptions)
        return {
            name: Start(cursor, await self._dead.above(name, cursor))
            for name, cursor in cursors.items()
        }

    async def scan(self, after: Position, limit: int) -> Page:
        """The next stretch of the log."""
        return await self._log.scan(after, limit)

    async def save(self, cursors: Mapping[str, Position]) -> None:
        """Moves cursors forward."""
        await self._cursors.save(self._lease, cursors)

    async def give_up(
        self, subscription: str, event_id: str, guild_id: GuildId, attempts: int, reason: str
    ) -> None:
        """Writes a dead letter."""
        await self._dead.write(
            self._lease,
            subscription=subscription,
            event_id=event_id,
            guild_id=guild_id,
            attempts=attempts,
            reason=reason,
        )

    async def renew(self) -> None:
        """Says that this router is alive."""
        await self._leaders.renew(self._lease)

    async def lag(self, after: Position, types: Sequence[str], at_most: int) -> int:
        """How many events of these types lie behind a position."""
        return await self._cursors.lag(after, types, at_most)

    async def dead_letters(self) -> dict[str, int]:
        """How many wait for somebody, by subscription."""
        return await self._dead.counts()

    async def dead_events(self, subscription: str, event_ids: Sequence[str]) -> list[StoredEvent]:
        """Those of these events that are dead letters of the subscription, oldest first."""
        listed = await self._dead.listed(subscription, event_ids)
        return await log.by_ids(self._database, sorted(listed))

    async def redriven(self, subscription: str, event_ids: Sequence[str]) -> None:
        """They took effect after all."""
        await self._dead.mark_redriven(subscription, event_ids)
