"""From the log to the subscriptions: reads once for all of them, and saves how far each has come.

The relay is one leader's work under one lease. Everything it knows can be lost: a new one reads
the cursors and delivers again what lies above them, which the inboxes make harmless.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from actors import clock, events, metrics
from actors.errors import ElderGuildError
from actors.events import StoredEvent
from actors.router.channel import Channel
from actors.router.routing import BUILT_IN, Subscription
from actors.router.store import RouterStore
from actors.runtime.message import Position
from actors.runtime.pool import Asker
from actors.settings import RouterSettings
from actors.storage.leaders import LeadershipLost

_log = structlog.get_logger("elders_guild.router")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """How one subscription stands.

    Attributes:
        lag: events behind its cursor that it wants, counted up to ``router.max_lag_counted``.
        unfinished: of these, how many are in the router.
        oldest_unacked_s: age of the event that holds the cursor; 0 where none does.
        delivered: acknowledged deliveries of this router's life; so are the next two.
        failed: attempts that failed.
        given_up: events sent to the dead letters.
        dead_letters: all that wait for somebody, also from earlier lives.
    """

    name: str
    pool: str
    cursor: str
    lag: int
    unfinished: int
    in_flight: int
    oldest_unacked_s: float
    delivered: int
    failed: int
    given_up: int
    dead_letters: int


class Relay:
    """Reads, delivers, saves, until it is cancelled or deposed.

    Args:
        store: the log and the cursors, under a lease.
        pool: the pool of a name.
        settings: numbers of the router.
        subscriptions: who hears what.
        on_events: sees what was read, each event about once, in order; must not block.
        renew_s: how often the lease is renewed.
        now: clock, for ages that are shown.
    """

    def __init__(
        self,
        store: RouterStore,
        pool: Callable[[str], Asker],
        settings: RouterSettings,
        *,
        subscriptions: Sequence[Subscription] = BUILT_IN,
        on_events: Callable[[Sequence[StoredEvent]], None] = lambda _: None,
        renew_s: float = 1.0,
        now: clock.Now = clock.now,
    ) -> None:
        self._store = store
        self._pool = pool
        self._settings = settings
        self._subscriptions = subscriptions
        self._on_events = on_events
        self._renew_s = renew_s
        self._now = now
        self._channels: list[Channel] = []
        self._saved: dict[str, Position] = {}
        self._seen_to = Position(0, 0)
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """There is something to read. Any number of nudges before the next read are one."""
        self._nudged.set()

    async def run(self) -> None:
        """Works until cancelled.

        Raises:
            LeadershipLost: a newer router has taken over.
            DependencyUnavailable: the database did not answer at the start.
        """
        await self._open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._save())
                group.create_task(self._renew())
                for channel in self._channels:
                    group.create_task(channel.run())
        except BaseExceptionGroup as failed:
            raise _root_cause(failed) from None

    async def flush(self) -> None:
        """Saves the cursors now: what a calm end does so that less is repeated.

        Raises:
            LeadershipLost: a newer router has taken over.
        """
        moved = {
            channel.subscription.name: channel.cursor
            for channel in self._channels
            if self._saved[channel.subscription.name] < channel.cursor
        }
        if moved:
            await self._store.save(moved)
            self._saved.update(moved)

    async def states(self) -> tuple[SubscriptionState, ...]:
        """How each subscription stands."""
        dead = await self._store.dead_letters()
        return tuple([await self._state(channel, dead) for channel in self._channels])

    def observe(self) -> None:
        """Brings the gauges up to date."""
        for channel in self._channels:
            age_s = self._age_s(channel.oldest_event_at)
            metrics.OUTBOX_LAG_SECONDS.labels(channel.subscription.name).set(age_s)

    async def _open(self) -> None:
        starts = await self._store.start([one.name for one in self._subscriptions])
        self._channels = [
            Channel(
                one,
                starts[one.name],
                asker=self._pool(one.pool),
                store=self._store,
                settings=self._settings,
                on_room=self.nudge,
            )
            for one in self._subscriptions
        ]
        self._saved = {name: start.cursor for name, start in starts.items()}
        self._seen_to = max((start.cursor for start in starts.values()), default=Position(0, 0))

    async def _read(self) -> None:
        while True:
            self._nudged.clear()
            try:
                more = await self._round()
            except LeadershipLost:
                raise
            except ElderGuildError as error:
                _log.warning("log_not_read", code=error.code, reason=str(error))
                await asyncio.sleep(self._settings.poll_interval_s)
                continue
            if not more:
                await self._until_nudged()

    async def _round(self) -> bool:
        """One page for each place where somebody reads on; whether there is more to read.

        Subscriptions at the same place share the page, so in normal running the log is read
        once for all. One that lags reads its own pages and does not hold up the others.
        """
        hungry = [channel for channel in self._channels if channel.wants_more()]
        more = False
        for place in sorted({channel.read_to for channel in hungry}):
            if all(channel.read_to != place for channel in hungry):
                continue  # the page of an earlier place reached past here
            page = await self._store.scan(place, self._settings.read_batch)
            for channel in hungry:
                if place <= channel.read_to < page.end:
                    await channel.offer(page)
            self._show(page.events)
            more |= page.full
        return more

    def _show(self, page: Sequence[StoredEvent]) -> None:
        fresh = [event for event in page if event.position > self._seen_to]
        if fresh:
            self._seen_to = fresh[-1].position
            self._on_events(fresh)

    async def _until_nudged(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_interval_s):
                await self._nudged.wait()
        except TimeoutError:
            return

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(self._settings.cursor_save_s)
            await self._bear_outages(self.flush)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renew_s)
            await self._bear_outages(self._store.renew)

    async def _bear_outages(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except LeadershipLost:
            raise
        except ElderGuildError:
            return  # the next turn tries again; until then nothing is lost but repetitions

    async def _state(self, channel: Channel, dead: Mapping[str, int]) -> SubscriptionState:
        subscription = channel.subscription
        types = [name for name in events.registered() if subscription.wants(name)]
        lag = await self._store.lag(channel.cursor, types, self._settings.max_lag_counted)
        return SubscriptionState(
            name=subscription.name,
            pool=subscription.pool,
            cursor=str(channel.cursor),
            lag=lag,
            unfinished=channel.unfinished,
            in_flight=channel.in_flight,
            oldest_unacked_s=self._age_s(channel.oldest_event_at),
            delivered=channel.delivered,
            failed=channel.failed,
            given_up=channel.given_up,
            dead_letters=dead.get(subscription.name, 0),
        )

    def _age_s(self, moment: datetime | None) -> float:
        return 0.0 if moment is None else max(0.0, (self._now() - moment).total_seconds())


def _root_cause(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that ended the others: being deposed above all, else the first."""
    deposed = failed.subgroup(LeadershipLost)
    inner: BaseException = failed if deposed is None else deposed
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
