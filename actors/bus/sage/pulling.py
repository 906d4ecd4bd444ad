"""Pulling: lend, take back, and wait without holding anything."""

import asyncio
from collections.abc import Awaitable, Callable

from actors import checks
from actors.bus.domain import pulling
from actors.bus.messages import (
    AckEvents,
    NackEvents,
    PulledEvent,
    PullEvents,
    PullSink,
    Subscription,
)
from actors.bus.sage.reading import patience_s
from actors.bus.store import Leased, PullStore, SubscriptionStore
from actors.errors import NotFound, Overloaded, ValidationError
from actors.runtime.message import Context, Handlers
from actors.settings import BusSettings

_REASON = 500


class PullSage:
    """Serves who pulls. Keeps only how much the routine lanes are owed.

    Attributes:
        waiting: pulls that found nothing yet.
    """

    def __init__(
        self,
        store: PullStore,
        subscriptions: SubscriptionStore,
        settings: BusSettings,
        *,
        lane_share: float,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._settings = settings
        self._shares = pulling.Shares(lane_share, settings.max_subscriptions)
        self._sleep = sleep
        self.waiting = 0

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {PullEvents: self.pull, AckEvents: self.ack, NackEvents: self.nack}

    async def pull(self, command: PullEvents) -> tuple[PulledEvent, ...]:
        """What may go now; waits between looks, and each look is a transaction of its own.

        Raises:
            Overloaded: there is nothing now, and too many wait already.
        """
        if not 1 <= command.max_events <= self._settings.max_pull:
            raise ValidationError("max_events", f"is not between 1 and {self._settings.max_pull}")
        ends_at = _now_s() + patience_s(command.wait_s, self._settings.pull_wait_s)
        found = await self._look(command)
        if found.events or _now_s() >= ends_at:
            return found.events
        if self.waiting >= self._settings.max_waiting_pulls:
            raise Overloaded(self._settings.retry_after_s, "the number of pulls that wait")
        self.waiting += 1
        try:
            return await self._wait(command, found, ends_at)
        finally:
            self.waiting -= 1

    async def ack(self, command: AckEvents) -> None:
        """They took effect. A repeat is recognised by the attempts themselves."""
        given = pulling.loans(command.ack_ids, self._settings.max_pull)
        subscription = await self._pulled(command.context, command.name)
        await self._store.ack(command.context.caller.guild_id, subscription, given)

    async def nack(self, command: NackEvents) -> None:
        """They failed: each rests a while, or its event is given up."""
        given = pulling.loans(command.ack_ids, self._settings.max_pull)
        reason = checks.text("reason", command.reason, _REASON) or "refused by the subscriber"
        delay_s = command.delay_s
        if delay_s is not None and not 0 <= delay_s <= self._settings.max_backoff_s:
            most = f"{self._settings.max_backoff_s:g}"
            raise ValidationError("delay_s", f"is not between 0 and {most}")
        subscription = await self._pulled(command.context, command.name)
        delays_s = [
            pulling.pause_s(subscription.delivery, loan.attempt) if delay_s is None else delay_s
            for loan in given
        ]
        await self._store.nack(command.context, subscription, given, delays_s, reason)

    async def _wait(
        self, command: PullEvents, found: Leased, ends_at: float
    ) -> tuple[PulledEvent, ...]:
        while not found.events and (left_s := ends_at - _now_s()) > 0:
            if not found.again:
                await self._sleep(min(self._settings.pull_poll_s, left_s))
            found = await self._look(command)
        return found.events

    async def _look(self, command: PullEvents) -> Leased:
        subscription = await self._pulled(command.context, command.name)
        if subscription.state != "active":
            return Leased(events=(), again=False)
        limit = command.max_events
        routine = self._shares.routine(subscription.subscription_id, limit)
        return await self._store.lease(command.context, subscription, limit, routine)

    async def _pulled(self, context: Context, name: str) -> Subscription:
        found = await self._subscriptions.load(context.caller.guild_id, name)
        if found is None:
            raise NotFound("subscription", name)
        if not isinstance(found.sink, PullSink):
            raise ValidationError("name", "is no subscription that is pulled")
        return found


def _now_s() -> float:
    return asyncio.get_running_loop().time()
