"""The router's store on PostgreSQL."""

import asyncio
from collections.abc import Mapping, Sequence

from actors.bus.filters import Filters
from actors.events import StoredEvent
from actors.router.declared import subscriptions_of
from actors.router.routing import Subscription
from actors.router.serving import Serving
from actors.router.share import WHOLE, Share
from actors.router.store import Requested, Start
from actors.runtime.message import GuildId, Position
from actors.settings import BusSettings
from actors.storage.cursors import Cursors
from actors.storage.database import Database
from actors.storage.dead_letters import DeadLetters
from actors.storage.declarations import Declarations
from actors.storage.frontier import Frontier
from actors.storage.leaders import Leaders, Lease
from actors.storage.log import Advance, LogReader, Unreadable

_DEFAULTS = BusSettings()


class PostgresRouterStore:
    """A `RouterStore` for one lease; the database is of the role ``guild_log``."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        share: Share = WHOLE,
        bounds: BusSettings = _DEFAULTS,
    ) -> None:
        self._filters = Filters(bounds)
        self._database = database
        self._lease = lease
        self._share = share
        self._log = LogReader(database)
        self._cursors = Cursors(database)
        self._dead = DeadLetters(database)
        self._declarations = Declarations(database)
        self._leaders = Leaders(database)

    async def start(self, subscriptions: Sequence[Subscription]) -> dict[str, Start]:
        """Where each subscription goes on."""
        cursors = await self._cursors.load([self._share.cursor(one.name) for one in subscriptions])
        beginning = Position(0, 0, self._database.epoch)
        starts = {}
        for one in subscriptions:
            cursor = cursors.get(self._share.cursor(one.name), one.origin or beginning)
            # A letter stands where its event does, which may be below the cursor when another
            # event has brought it.
            above = cursor if one.unwraps is None else beginning
            starts[one.name] = Start(cursor, await self._dead.above(one.letters, above))
        return starts

    async def advance(self, frontiers: Sequence[Frontier], limit: int) -> list[Advance]:
        """The next page behind each of these places, all of one snapshot."""
        return await self._log.advance(frontiers, limit)

    async def erased(self, events: Sequence[StoredEvent]) -> frozenset[str]:
        """Ids of those whose data subject was erased since they were read."""
        return await self._log.erased(events)

    async def save(self, cursors: Mapping[str, Position]) -> None:
        """Moves cursors forward."""
        named = {self._share.cursor(name): at for name, at in cursors.items()}
        await self._cursors.save(self._lease, named)

    async def give_up(
        self,
        subscription: Subscription,
        event: StoredEvent | Unreadable,
        attempts: int,
        reason: str,
    ) -> None:
        """Writes a dead letter."""
        await self._dead.write(
            self._lease,
            subscription=subscription.letters,
            title=subscription.title or subscription.name,
            event=event,
            attempts=attempts,
            reason=reason,
        )

    async def renew(self) -> None:
        """Says that this router is alive."""
        await self._leaders.renew(self._lease)

    async def revision(self) -> int:
        """Rises whenever a declaration or a replay was changed."""
        return await self._declarations.revision()

    async def declared(self, limit: int) -> list[Subscription]:
        """What guilds declared and is active, and the replays that run."""
        declared, running = await self._declarations.load(limit)
        return await asyncio.to_thread(subscriptions_of, declared, running, self._filters)

    async def disable(self, subscription_id: str, reason: str) -> None:
        """Stops a declared subscription until somebody resumes it."""
        await self._declarations.disable(self._lease, subscription_id, reason)

    async def complete_replay(self, replay_id: str, delivered: int) -> None:
        """Ends a replay."""
        await self._declarations.complete(self._lease, replay_id, delivered)

    async def forget_stale(self) -> None:
        """Deletes what is kept for what is declared no more."""
        await self._cursors.forget_stale(self._lease)

    async def lag(
        self, after: Position, guild_id: GuildId | None, types: Sequence[str], at_most: int
    ) -> int:
        """How many events of these patterns lie behind a position."""
        return await self._cursors.lag(after, types, at_most, guild_id=guild_id)

    async def dead_letters(self) -> dict[str, int]:
        """How many wait for somebody, by subscription."""
        return await self._dead.counts()

    async def requested(self, serving: Serving, limit: int) -> list[Requested]:
        """Dead letters that somebody wants delivered once more, and that can be now."""
        return [
            Requested(subscription, event, requested_by)
            for subscription, requested_by, event in await self._dead.requested(
                limit, letters=serving.letters, declared=serving.declared
            )
        ]

    async def dead_events(self, subscription: str, event_ids: Sequence[str]) -> list[StoredEvent]:
        """Those of these events that are dead letters of the subscription, oldest first."""
        return await self._dead.events(subscription, event_ids)

    async def redriven(
        self, subscription: Subscription, event: StoredEvent, requested_by: str
    ) -> None:
        """It took effect after all."""
        await self._dead.mark_redriven(
            self._lease,
            subscription=subscription.letters,
            title=subscription.title or subscription.name,
            event=event,
            requested_by=requested_by,
        )
