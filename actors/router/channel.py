"""One subscription at work: delivers what its window allows, and learns from what fails."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from actors import metrics
from actors.errors import DeadlineExceeded, ElderGuildError
from actors.events import StoredEvent
from actors.router.deliveries import deliver_event
from actors.router.failures import (
    GiveUp,
    Record,
    Retry,
    after_failure,
    held_against_event,
    pause,
)
from actors.router.routing import Subscription
from actors.router.store import RouterStore, Start
from actors.router.window import Delivery, Window
from actors.runtime.message import Position
from actors.runtime.pool import Asker
from actors.settings import RouterSettings
from actors.storage.leaders import LeadershipLost
from actors.storage.log import Page

_log = structlog.get_logger("elders_guild.router")


class Channel:
    """Everything of one subscription that lives in memory; all of it can be lost at any time."""

    def __init__(
        self,
        subscription: Subscription,
        start: Start,
        *,
        asker: Asker,
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
        self._already_given_up = start.given_up
        self._window = Window(
            start.cursor,
            capacity=settings.window,
            max_out=settings.max_in_flight,
            reserved=settings.lane_share,
        )
        self._asker = asker
        self._store = store
        self._settings = settings
        self._on_room = on_room
        self._monotonic = monotonic
        self._jitter = jitter
        self._changed = asyncio.Event()
        self._starved = False

    @property
    def cursor(self) -> Position:
        """Everything at or below is acknowledged or in the dead letters."""
        return self._window.cursor

    @property
    def read_to(self) -> Position:
        """How far it has read."""
        return self._window.read_to

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

    def wants_more(self) -> bool:
        """Whether there is room for a worthwhile read; if not, it calls ``on_room`` later."""
        self._starved = self._window.room < max(1, self._settings.window // 2)
        return not self._starved

    async def offer(self, page: Page) -> None:
        """Takes what it wants of a stretch that begins at or before ``read_to``.

        When the window is full it stops there, and goes on at the same place later.

        Raises:
            DependencyUnavailable: an unreadable event could not be written to the dead letters;
                nothing of the page was taken.
        """
        await self._give_up_unreadable(page)
        for event in page.events:
            if event.position <= self._window.read_to or not self._is_wanted(event):
                continue
            if not self._window.room:
                self._starved = True
                break
            self._window.add(event)
        else:
            self._window.skip_to(page.end)
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
                for delivery in self._window.take(now):
                    deliveries.create_task(self._deliver(delivery))
                due = self._window.next_due()
                await self._until_changed(None if due is None else max(0.0, due - now))

    async def _until_changed(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _deliver(self, delivery: Delivery) -> None:
        name, timeout_s = self.subscription.name, self._settings.ack_timeout_s
        delivered_before = self.delivered
        try:
            async with asyncio.timeout(timeout_s):
                await self._asker.ask(deliver_event(name, delivery.event), timeout_s=timeout_s)
        except TimeoutError:
            error = DeadlineExceeded("the delivery")
            await self._note_failure(delivery, error, self.delivered > delivered_before)
        except Exception as error:  # whatever it is, this delivery failed and the others go on
            await self._note_failure(delivery, error, self.delivered > delivered_before)
        else:
            self.delivered += 1
            self._finish(delivery, "delivered")
        self._changed.set()

    async def _note_failure(
        self, delivery: Delivery, error: Exception, others_served: bool
    ) -> None:
        self.failed += 1
        now = self._monotonic()
        if delivery.failing_since is None:
            delivery.failing_since = now
        failing_for_s = now - delivery.failing_since
        delivery.failures += 1
        delivery.counted += held_against_event(
            error,
            failing_for_s=failing_for_s,
            others_served=others_served,
            patience_s=self._settings.patience_s,
        )
        record = Record(
            failures=delivery.failures, counted=delivery.counted, failing_for_s=failing_for_s
        )
        match after_failure(error, record, self._settings, self._jitter()):
            case Retry(after_s):
                metrics.EVENTS_PROCESSED.labels(self.subscription.name, "failed").inc()
                self._window.fail(delivery, not_before=now + after_s)
            case GiveUp(reason):
                await self._give_up(delivery, reason)

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        event, name = delivery.event, self.subscription.name
        try:
            await self._store.give_up(
                name, event.event_id, event.guild_id, delivery.failures, reason
            )
        except LeadershipLost:
            raise
        except ElderGuildError:  # the database is away: the event keeps its place until it is back
            retry_s = pause(self._settings.backoff_s, delivery.failures)
            self._window.fail(delivery, not_before=self._monotonic() + retry_s)
            return
        _log.warning(
            "delivery_given_up",
            subscription=name,
            event_id=event.event_id,
            event_type=event.type,
            guild_id=event.guild_id,
            correlation_id=event.correlation_id,
            attempts=delivery.failures,
            reason=reason,
        )
        self._count_given_up()
        self._finish(delivery, "dead_lettered")

    async def _give_up_unreadable(self, page: Page) -> None:
        for damaged in page.unreadable:
            if damaged.position <= self._window.read_to:
                continue
            if damaged.event_id in self._already_given_up:
                continue
            if self.subscription.wants(damaged.type):
                await self._store.give_up(
                    self.subscription.name, damaged.event_id, damaged.guild_id, 0, damaged.reason
                )
                self._count_given_up()

    def _count_given_up(self) -> None:
        self.given_up += 1
        metrics.DEAD_LETTERS.labels(self.subscription.name).inc()

    def _finish(self, delivery: Delivery, result: str) -> None:
        metrics.EVENTS_PROCESSED.labels(self.subscription.name, result).inc()
        self._window.finish(delivery)
        if self._starved and self._window.room >= max(1, self._settings.window // 2):
            self._starved = False
            self._on_room()

    def _is_wanted(self, event: StoredEvent) -> bool:
        return self.subscription.wants(event.type) and event.event_id not in self._already_given_up
