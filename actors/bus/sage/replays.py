"""Replays: a stretch of the log, once more, for one subscription."""

import math
from collections.abc import Callable

from actors import checks, clock
from actors.bus.domain.subscriptions import check_may_touch
from actors.bus.messages import (
    CancelReplay,
    GetReplay,
    ListReplays,
    Replay,
    ReplayPage,
    SseSink,
    StartReplay,
)
from actors.bus.store import ReplayStore, SubscriptionStore
from actors.errors import InvalidTransition, NotFound, Overloaded, ValidationError
from actors.runtime.message import Context, Handlers
from actors.settings import BusSettings


class ReplaySage:
    """Declares replays; the router runs them."""

    def __init__(
        self,
        store: ReplayStore,
        subscriptions: SubscriptionStore,
        settings: BusSettings,
        *,
        nudge: Callable[[], None] = lambda: None,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._settings = settings
        self._nudge = nudge
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            StartReplay: self.start,
            GetReplay: self.get,
            ListReplays: self.page,
            CancelReplay: self.cancel,
        }

    async def start(self, command: StartReplay) -> Replay:
        """One more that runs."""
        guild_id = command.context.caller.guild_id
        most = self._settings.max_replay_speed
        if not math.isfinite(command.speed) or not 0 <= command.speed <= most:
            raise ValidationError("speed", f"is not between 0 and {most:g}")
        subscription = await self._subscriptions.load(guild_id, command.subscription)
        if subscription is None:
            raise NotFound("subscription", command.subscription)
        check_may_touch(subscription, command.context.caller)
        if isinstance(subscription.sink, SseSink):
            raise ValidationError("subscription", "is a stream: open it where it shall begin")
        started = await self._store.start(command, self._new_id("rpl"), self._settings.max_replays)
        if started is None:
            raise Overloaded(self._settings.retry_after_s, "the number of running replays")
        self._nudge()
        return started

    async def get(self, query: GetReplay) -> Replay:
        """One of them."""
        return await self._existing(query.context, query.replay_id)

    async def page(self, query: ListReplays) -> ReplayPage:
        """Some of them, newest first."""
        limit = checks.page_size(query.limit)
        return await self._store.page(query.context.caller.guild_id, limit, query.cursor)

    async def cancel(self, command: CancelReplay) -> Replay:
        """It stops; what it has delivered stays delivered. A repeat changes nothing."""
        existing = await self._existing(command.context, command.replay_id)
        match existing.state:
            case "cancelled":
                return existing
            case "completed":
                raise InvalidTransition("replay", "completed", "cancelled")
            case "running":
                cancelled = await self._store.cancel(existing, cause=command)
                self._nudge()
                return cancelled

    async def _existing(self, context: Context, replay_id: str) -> Replay:
        found = await self._store.get(context.caller.guild_id, replay_id)
        if found is None:
            raise NotFound("replay", replay_id)
        return found
