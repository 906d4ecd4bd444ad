"""From the log to the subscriptions: reads once for all of them, and saves how far each has come.

The relay is one leader's work under one lease. Everything it knows can be lost: a new one reads
the cursors and delivers again what lies above them, which the inboxes make harmless.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest

import structlog

from actors import clock, metrics
from actors.errors import ElderGuildError
from actors.events import StoredEvent
from actors.router.audience import Audience
from actors.router.channel import Channel
from actors.router.places import Place, Places
from actors.router.routing import BUILT_IN, Subscription
from actors.router.serving import Serving
from actors.router.share import WHOLE, Share
from actors.router.sink import Sink
from actors.router.store import RouterStore
from actors.runtime.message import Position
from actors.runtime.turns import in_turns
from actors.settings import RouterSettings
from actors.storage.frontier import Frontier
from actors.storage.leaders import LeadershipLost
from actors.storage.log import Advance

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
    cursor: str
    lag: int
    unfinished: int
    in_flight: int
    oldest_unacked_s: float
    delivered: int
    failed: int
    given_up: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Chore:
    """Something the leader does besides, again and again; its failures wait for the next turn."""

    name: str
    period_s: float
    work: Callable[[], Awaitable[object]]


@dataclass(slots=True)
class _Open:
    """A channel at work, and what of it is saved."""

    channel: Channel
    task: asyncio.Task[None]
    saved: Position
    saved_at: float = 0.0
    done_when_saved: int = 0

    @property
    def done(self) -> int:
        return self.channel.delivered + self.channel.given_up


class Relay:
    """Reads, delivers, saves, until it is cancelled or deposed.

    Args:
        store: the log and the cursors, under a lease.
        sinks: where a subscription's events go.
        settings: numbers of the router.
        subscriptions: who hears what, whatever guilds declare.
        share: which aggregates are this router's.
        on_events: sees what was read, each event about once; must not block.
        chores: what else is done under this lease.
        renew_s: how often the lease is renewed.
        now: clock, for ages that are shown.
    """

    def __init__(
        self,
        store: RouterStore,
        sinks: Callable[[Subscription], Sink],
        settings: RouterSettings,
        *,
        subscriptions: Sequence[Subscription] = BUILT_IN,
        share: Share = WHOLE,
        on_events: Callable[[Sequence[StoredEvent]], None] | None = None,
        chores: Sequence[Chore] = (),
        renew_s: float = 1.0,
        now: clock.Now = clock.now,
    ) -> None:
        self._store = store
        self._sinks = sinks
        self._settings = settings
        self._subscriptions = subscriptions
        self._share = share
        self._on_events = on_events
        self._chores = chores
        self._renew_s = renew_s
        self._now = now
        self._open: dict[str, _Open] = {}
        self._audience = Audience()
        self._serving = Serving(())
        self._places = Places(Frontier.at(Position(0, 0)))
        self._revision = 0
        self._nudged = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def nudge(self) -> None:
        """There is something to read. Any number of nudges before the next read are one."""
        self._nudged.set()

    async def run(self) -> None:
        """Works until cancelled.

        Raises:
            LeadershipLost: a newer router has taken over.
            DependencyUnavailable: the database did not answer at the start.
        """
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._begin(self._subscriptions)
                await self._borne(self._refresh)
                furthest = max((one.saved for one in self._open.values()), default=Position(0, 0))
                self._places.begin(Frontier.at(furthest))
                self._tasks.create_task(self._read())
                self._tasks.create_task(self._again(self._settings.cursor_save_s, self._save))
                self._tasks.create_task(self._again(self._renew_s, self._store.renew))
                self._tasks.create_task(self._again(self._settings.refresh_s, self._refresh))
                for chore in self._chores:
                    self._tasks.create_task(self._again(chore.period_s, chore.work))
        except BaseExceptionGroup as failed:
            raise _root_cause(failed) from None

    async def flush(self) -> None:
        """Saves all cursors now: what a calm end does so that less is repeated.

        Raises:
            LeadershipLost: a newer router has taken over.
        """
        await self._save_those(list(self._open.values()))

    async def states(self) -> tuple[SubscriptionState, ...]:
        """How each subscription stands."""
        dead = await self._store.dead_letters()
        # A copy: subscriptions come and go while the store is asked.
        channels = [one.channel for one in self._open.values()]
        return tuple([await self._state(channel, dead) for channel in channels])

    def serving(self) -> Serving:
        """Whose dead letters can be delivered now."""
        return self._serving

    def observe(self) -> None:
        """Brings the gauges up to date. A replay is behind on purpose."""
        slowest: defaultdict[str, float] = defaultdict(float)
        declared: dict[str, float] = {}
        for channel in (one.channel for one in self._open.values()):
            subscription, age_s = channel.subscription, self._age_s(channel.oldest_event_at)
            if subscription.replays is not None:
                continue
            slowest[subscription.series] = max(slowest[subscription.series], age_s)
            if subscription.declared_as is not None and age_s:
                declared[subscription.declared_as] = age_s
        metrics.forget(metrics.OUTBOX_LAG_SECONDS, metrics.SLOWEST_SECONDS)
        for series, age_s in slowest.items():
            metrics.OUTBOX_LAG_SECONDS.labels(series).set(age_s)
        for name in nlargest(self._settings.lags_shown, declared, key=declared.__getitem__):
            metrics.SLOWEST_SECONDS.labels(name).set(declared[name])

    async def _begin(self, subscriptions: Sequence[Subscription]) -> None:
        assert self._tasks is not None  # noqa: S101  # only run() leads here
        starts = await self._store.start(subscriptions)
        for subscription in subscriptions:
            channel = Channel(
                subscription,
                starts[subscription.name],
                sink=self._sinks(subscription),
                store=self._store,
                settings=self._settings,
                on_room=self.nudge,
            )
            self._open[subscription.name] = _Open(
                channel, self._tasks.create_task(channel.run()), channel.cursor
            )
            self._places.put(channel)
        self._audience.set(one.channel for one in self._open.values())
        self._serving = Serving(one.channel.subscription for one in self._open.values())

    async def _refresh(self) -> None:
        """Takes up what guilds have declared or changed meanwhile."""
        await self._complete_replays()
        revision = await self._store.revision()
        if revision == self._revision:
            return
        declared = await self._store.declared(self._settings.max_subscriptions)
        wanted = {one.name: one for one in (*self._subscriptions, *declared)}
        gone = [
            name for name, one in self._open.items() if wanted.get(name) != one.channel.subscription
        ]
        await self._end(gone)
        await self._begin([one for name, one in wanted.items() if name not in self._open])
        await self._store.forget_stale()
        self._revision = revision
        self.nudge()

    async def _complete_replays(self) -> None:
        for name, one in list(self._open.items()):
            if one.channel.complete:
                await self._store.complete_replay(name, one.channel.delivered)
                await self._end([name])

    async def _end(self, names: Sequence[str]) -> None:
        """Stops channels; what was under way is repeated by whoever goes on from the cursor."""
        ended = [self._open[name] for name in names]
        for one in ended:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in ended), return_exceptions=True)
        await self._save_those(ended)
        for name, one in zip(names, ended, strict=True):
            del self._open[name]
            self._places.remove(one.channel)
            await one.channel.close()
        self._audience.set(one.channel for one in self._open.values())
        self._serving = Serving(one.channel.subscription for one in self._open.values())

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

        In normal running all stand at the head, and the log is read once for all. One that lags
        reads its own pages and does not hold up the others.
        """
        places = self._places.to_read(self._settings.places_read_at_once)
        asked = [place.frontier for place in places]
        limit = min(self._settings.read_batch, self._settings.window)
        pages = await self._store.advance(asked, limit)
        for place, page in zip(places, pages, strict=True):
            await self._hand_out(page, place)
        return any(page.full for page in pages)

    async def _hand_out(self, page: Advance, place: Place) -> None:
        for damaged in page.unreadable:
            for channel in self._audience.of(damaged.guild_id, damaged.type):
                if channel.place is place and self._share.is_first:
                    await channel.give_up_unreadable(damaged)
        touched: set[Channel] = set()
        async for event, channel in in_turns(self._heard(page.events), self._settings.hold_s):
            if channel.place is place and channel.offer(event):
                touched.add(channel)
        touched = set(filter(self._is_open, touched))  # others may have had a turn
        for channel in touched:
            channel.deliver()
        at_head = place is self._places.head
        self._places.move(place, page.frontier, touched)
        if at_head and self._on_events is not None:
            self._on_events(page.events)

    def _heard(self, events: Sequence[StoredEvent]) -> Iterator[tuple[StoredEvent, Channel]]:
        """Each event with each channel that hears its type: one filter at a time."""
        for event in events:
            if self._share.has(event):
                for channel in self._audience.of(event.guild_id, event.type):
                    yield event, channel

    def _is_open(self, channel: Channel) -> bool:
        one = self._open.get(channel.subscription.name)
        return one is not None and one.channel is channel

    async def _until_nudged(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_interval_s):
                await self._nudged.wait()
        except TimeoutError:
            return

    async def _save(self) -> None:
        """Saves the cursors of those that worked; of those that only passed over, now and then."""
        now = time.monotonic()
        due = [
            one
            for one in self._open.values()
            if one.done != one.done_when_saved
            or now - one.saved_at >= self._settings.idle_cursor_save_s
        ]
        await self._save_those(due)
        for one in due:
            one.saved_at = now

    async def _save_those(self, those: Sequence[_Open]) -> None:
        moved = [
            (one, one.channel.cursor, one.done) for one in those if one.saved < one.channel.cursor
        ]
        if not moved:
            return
        await self._store.save({one.channel.subscription.name: at for one, at, _ in moved})
        for one, at, done in moved:
            one.saved, one.done_when_saved = at, done

    async def _again(self, period_s: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(period_s)
            await self._borne(work)

    async def _borne(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except LeadershipLost:
            raise
        except ElderGuildError:
            return  # the next turn tries again; until then nothing is lost but repetitions

    async def _state(self, channel: Channel, dead: Mapping[str, int]) -> SubscriptionState:
        subscription = channel.subscription
        lag = await self._store.lag(
            channel.cursor,
            subscription.guild_id,
            subscription.types,
            self._settings.max_lag_counted,
        )
        return SubscriptionState(
            name=subscription.name,
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
