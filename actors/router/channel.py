"""One subscription at work: delivers what its window allows, and learns from what fails."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import islice

import structlog

from actors import metrics
from actors.bus.messages import DeliveryPolicy
from actors.errors import DeadlineExceeded, ElderGuildError, Gone, HandlerLost, Overloaded
from actors.events import StoredEvent
from actors.router.failures import (
    GiveUp,
    Record,
    Retry,
    after_failure,
    describe,
    held_against_event,
    may_be_ones_fault,
    pause,
)
from actors.router.places import Place
from actors.router.routing import Subscription
from actors.router.sink import Sink
from actors.router.sinks.pool import PoolSink
from actors.router.store import RouterStore, Start
from actors.router.window import Delivery, Window
from actors.runtime import tracing
from actors.runtime.message import Position
from actors.settings import RouterSettings
from actors.storage.frontier import Frontier
from actors.storage.leaders import LeadershipLost
from actors.storage.log import Unreadable

_log = structlog.get_logger("elders_guild.router")
_FOR_EVER = float("inf")


class Channel:
    """Everything of one subscription that lives in memory; all of it can be lost at any time.

    Attributes:
        delivered: acknowledged deliveries of this router's life; so are the next two.
        failed: attempts that failed.
        given_up: events sent to the dead letters.
    """

    def __init__(
        self,
        subscription: Subscription,
        start: Start,
        *,
        sink: Sink,
        store: RouterStore,
        settings: RouterSettings,
        on_room: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.subscription = subscription
        self.delivered = 0
        self.failed = 0
        self.given_up = 0
        self._given_up_ever = metrics.DEAD_LETTERS.labels(subscription.series)  # shown from 0 on
        self._already_given_up = start.given_up
        self._policy = subscription.policy or policy_of(settings)
        self._window = Window(
            Frontier.at(start.cursor),
            capacity=settings.window,
            max_out=max(2, _most_out(self._policy, sink)),
            reserved=settings.lane_share,
            by_aggregate=self._policy.ordering == "aggregate",
        )
        self._sink = sink
        self._store = store
        self._settings = settings
        self._on_room = on_room
        self._monotonic = monotonic
        self._jitter = jitter
        self._changed = asyncio.Event()
        self._starved = False
        self._batches = 0
        self._prompt: set[asyncio.Task[None]] = set()
        self._pace: tuple[datetime, float] | None = None

    @property
    def cursor(self) -> Position:
        """Everything at or below is acknowledged or in the dead letters."""
        return self._window.cursor

    @property
    def place(self) -> Place:
        """How much it has read."""
        return self._window.place

    @place.setter
    def place(self, place: Place) -> None:
        self._window.place = place

    @property
    def unfinished(self) -> int:
        """Events read and not finished."""
        return self._window.unfinished

    @property
    def in_flight(self) -> int:
        """Deliveries under way."""
        return self._window.out

    @property
    def oldest_event_at(self) -> datetime | None:
        """When the event happened that holds the cursor back."""
        oldest = self._window.oldest
        return None if oldest is None else oldest.event.occurred_at

    @property
    def complete(self) -> bool:
        """A replay that has delivered all of its stretch."""
        stretch = self.subscription.replays
        return (
            stretch is not None
            and not self._window.unfinished
            and self._window.place.frontier.settled >= stretch.end
        )

    def wants_more(self) -> bool:
        """Whether there is room for a whole page; if not, it calls ``on_room`` later."""
        self._starved = self._window.room < self._enough_room
        return not self._starved

    async def give_up_unreadable(self, damaged: Unreadable) -> None:
        """Keeps an event that cannot be read for whoever repairs it.

        Raises:
            DependencyUnavailable: it could not be written down; read the page again.
        """
        if damaged.event_id not in self._already_given_up:
            await self._store.give_up(self.subscription, damaged, 0, damaged.reason)
            self._already_given_up |= {damaged.event_id}
            self._count_given_up()

    def offer(self, event: StoredEvent) -> bool:
        """Takes the event if it wants it; its type fits already. Whether it did."""
        subscription = self.subscription
        if event.event_id in self._already_given_up:
            return False
        if subscription.replays is not None and event.position > subscription.replays.end:
            return False
        if subscription.accepts is not None and not subscription.accepts(event):
            return False
        wanted = event if subscription.unwraps is None else subscription.unwraps(event)
        if wanted is None or wanted.event_id in self._already_given_up:
            return False
        self._window.add(wanted, read_at=event.position, not_before=self._due(wanted))
        return True

    def deliver(self) -> None:
        """Begins with what was offered."""
        self._changed.set()

    async def run(self) -> None:
        """Delivers until cancelled; what is under way is then abandoned, and repeated later.

        Raises:
            LeadershipLost: in an exception group; somebody else delivers now.
        """
        async with asyncio.TaskGroup() as deliveries:
            while True:
                self._changed.clear()
                now = self._monotonic()
                for batch in self._take(now):
                    self._batches += 1
                    self._sink.pace.begun(now)
                    self._begin(deliveries.create_task(self._deliver(batch)))
                due = self._next_due(now)
                await self._until_changed(None if due is None else max(0.0, due - now))

    async def close(self) -> None:
        """Lets go of the sink."""
        await self._sink.close()

    @property
    def _enough_room(self) -> int:
        return max(
            min(self._settings.read_batch, self._settings.window), self._settings.window // 2
        )

    def _take(self, now: float) -> Iterator[list[Delivery]]:
        """What to deliver now. Batches fill while others are on their way, if those are prompt."""
        if self._sink.batch == 1:
            for delivery in islice(self._window.take(now), self._room(now)):
                yield [delivery]
            return
        while self._room(now) != 0:
            ready = self._ready(now)
            if not ready:
                return
            yield from _batches(ready)

    def _ready(self, now: float) -> list[Delivery]:
        """Enough for a batch; what goes for itself ends it, so that few go at a time."""
        ready: list[Delivery] = []
        most = 1 if self._sink.pace.is_down else self._sink.batch
        for delivery in self._window.take(now):
            ready.append(delivery)
            if delivery.alone or len(ready) == most:
                break
        return ready

    def _room(self, now: float) -> int | None:
        """How many calls of the sink may begin now; None: as many as there are."""
        room = self._sink.pace.room(now, self._batches)
        if self._sink.batch == 1:
            return room
        free = max(0, self._settings.batches_in_flight - len(self._prompt))
        return free if room is None else min(room, free)

    def _next_due(self, now: float) -> float | None:
        """When there is something to do although nothing happens; None: never."""
        if self._room(now) != 0:
            return self._window.next_due()
        return self._sink.pace.opens_at(now)

    def _begin(self, delivery: asyncio.Task[None]) -> None:
        """Others fill while this one is on its way, until it takes too long."""
        delivery.add_done_callback(self._is_not_prompt)
        if self._sink.batch > 1:
            self._prompt.add(delivery)
            loop = asyncio.get_running_loop()
            overdue = loop.call_later(self._settings.batch_prompt_s, self._is_not_prompt, delivery)
            delivery.add_done_callback(lambda _: overdue.cancel())

    def _is_not_prompt(self, delivery: asyncio.Task[None]) -> None:
        self._prompt.discard(delivery)
        self._changed.set()

    async def _until_changed(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _deliver(self, batch: list[Delivery]) -> None:
        timeout_s = self._policy.ack_deadline_s
        delivered_before = self.delivered
        try:
            async with asyncio.timeout(timeout_s):
                batch = await self._pass_over_erased(batch)
                if batch:
                    await self._hand_over(batch, timeout_s)
        except Gone as error:
            await self._disable(batch, error)
        except TimeoutError:
            error_ = DeadlineExceeded("the delivery")
            await self._note_failure(batch, error_, self.delivered > delivered_before)
        except Exception as error:  # whatever it is, this delivery failed and the others go on
            await self._note_failure(batch, error, self.delivered > delivered_before)
        else:
            self.delivered += len(batch)
            if batch:  # else all was erased, and nobody was asked
                self._sink.pace.succeeded()
            self._finish(batch, "delivered")
        self._batches -= 1
        self._changed.set()

    async def _hand_over(self, batch: Sequence[Delivery], timeout_s: float) -> None:
        name, events = self.subscription.name, [one.event for one in batch]
        if not tracing.is_on():
            await self._send(name, events, batch, timeout_s)
            return
        with ExitStack() as spans:
            for event in reversed(events):  # what is sent together hangs on the first
                spans.enter_context(
                    tracing.delivery(
                        f"deliver {self.subscription.series}", event.event_id, event.correlation_id
                    )
                )
            await self._send(name, events, batch, timeout_s)

    async def _send(
        self,
        name: str,
        events: Sequence[StoredEvent],
        batch: Sequence[Delivery],
        timeout_s: float,
    ) -> None:
        if batch[0].suspect and isinstance(self._sink, PoolSink):
            await self._sink.deliver(name, events, timeout_s, apart=True)
        else:
            await self._sink.deliver(name, events, timeout_s)

    async def _pass_over_erased(self, batch: list[Delivery]) -> list[Delivery]:
        """The rest. What was erased while it waited here is heard by nobody."""
        sealed = [one.event for one in batch if one.event.sealed_for is not None]
        if not sealed:
            return batch
        erased = await self._store.erased(sealed)
        for delivery in batch:
            if delivery.event.event_id in erased:
                self._finish([delivery], "erased")
        return [one for one in batch if one.event.event_id not in erased]

    async def _disable(self, batch: Sequence[Delivery], error: Gone) -> None:
        declared_as = self.subscription.declared_as
        if declared_as is None:
            await self._note_failure(batch, error, others_served=False)
            return
        again_at = _FOR_EVER
        try:
            await self._store.disable(declared_as, describe(error))
        except LeadershipLost:
            raise
        except ElderGuildError:  # the database is away: the other side will say it once more
            again_at = self._monotonic() + pause(self._policy.backoff_s, 1)
        else:
            _log.warning("subscription_disabled", subscription=declared_as, reason=describe(error))
        for delivery in batch:
            self._window.fail(delivery, not_before=again_at)

    async def _note_failure(
        self, batch: Sequence[Delivery], error: Exception, others_served: bool
    ) -> None:
        self.failed += len(batch)
        was_down = self._sink.pace.is_down
        self._rest_after(error)
        lost = isinstance(error, HandlerLost)
        one_of_many = len(batch) > 1 and not was_down and may_be_ones_fault(error)
        now = self._monotonic()
        for delivery in batch:
            if delivery.failing_since is None:
                delivery.failing_since = now
            failing_for_s = now - delivery.failing_since
            delivery.deaths += lost
            if one_of_many or (lost and delivery.deaths == 1):
                # Nobody knows which of those that were handled is the cause: each shows for itself.
                delivery.alone = True
                self._window.fail(delivery, not_before=now)
                continue
            if lost and delivery.deaths == 2:  # so it was the cause the first time
                delivery.failures += 1
                delivery.counted += 1
            await self._note_one(delivery, error, others_served, was_down, failing_for_s)

    def _rest_after(self, error: Exception) -> None:
        asked_s = error.retry_after_s if isinstance(error, Overloaded) else None
        rest_s = self._sink.pace.failed(self._monotonic(), asked_s)
        if rest_s is not None:
            _log.warning(
                "receiver_rests",
                subscription=self.subscription.name,
                rest_s=rest_s,
                reason=describe(error),
            )

    async def _note_one(
        self,
        delivery: Delivery,
        error: Exception,
        others_served: bool,
        receiver_down: bool,
        failing_for_s: float,
    ) -> None:
        counts = held_against_event(
            error,
            failing_for_s=failing_for_s,
            others_served=others_served,
            patience_s=self._settings.patience_s,
            receiver_down=receiver_down,
        )
        delivery.failures += 1
        delivery.counted += counts
        record = Record(
            failures=delivery.failures, counted=delivery.counted, failing_for_s=failing_for_s
        )
        match after_failure(error, record, self._policy, self._jitter()):
            case Retry(after_s):
                metrics.EVENTS_PROCESSED.labels(self.subscription.series, "failed").inc()
                self._window.fail(delivery, not_before=self._monotonic() + after_s)
            case GiveUp(reason):
                await self._give_up(delivery, reason)

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        event = delivery.event
        try:
            await self._store.give_up(self.subscription, event, delivery.failures, reason)
        except LeadershipLost:
            raise
        except ElderGuildError:  # the database is away: the event keeps its place until it is back
            retry_s = pause(self._policy.backoff_s, delivery.failures)
            self._window.fail(delivery, not_before=self._monotonic() + retry_s)
            return
        _log.warning(
            "delivery_given_up",
            subscription=self.subscription.name,
            event_id=event.event_id,
            event_type=event.type,
            guild_id=event.guild_id,
            correlation_id=event.correlation_id,
            attempts=delivery.failures,
            reason=reason,
        )
        self._count_given_up()
        self._finish([delivery], "dead_lettered")

    def _count_given_up(self) -> None:
        self.given_up += 1
        self._given_up_ever.inc()

    def _finish(self, deliveries: Sequence[Delivery], result: str) -> None:
        metrics.EVENTS_PROCESSED.labels(self.subscription.series, result).inc(len(deliveries))
        for delivery in deliveries:
            self._window.finish(delivery)
        if self._starved and self._window.room >= self._enough_room:
            self._starved = False
            self._on_room()

    def _due(self, event: StoredEvent) -> float:
        """When a replay at a pace delivers it; 0: at once."""
        stretch = self.subscription.replays
        if stretch is None or not stretch.speed:
            return 0.0
        if self._pace is None:
            self._pace = event.occurred_at, self._monotonic()
        began, now = self._pace
        return now + max(0.0, (event.occurred_at - began).total_seconds() / stretch.speed)


def policy_of(settings: RouterSettings) -> DeliveryPolicy:
    """How built-in subscriptions are delivered."""
    return DeliveryPolicy(
        ack_deadline_s=settings.ack_timeout_s,
        max_attempts=settings.max_attempts,
        backoff_s=settings.backoff_s,
        max_in_flight=settings.max_in_flight,
    )


def _most_out(policy: DeliveryPolicy, sink: Sink) -> int:
    # The lanes share what is out: were the sink slower than that, the urgent lane would take all.
    if sink.pace.at_once is None or sink.batch > 1:
        return policy.max_in_flight
    return min(policy.max_in_flight, sink.pace.at_once)


def _batches(ready: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """One batch for each guild; what has failed before goes for itself."""
    by_guild: dict[str, list[Delivery]] = {}
    for delivery in ready:
        if delivery.alone:
            yield [delivery]
        else:
            by_guild.setdefault(delivery.event.guild_id, []).append(delivery)
    yield from by_guild.values()
