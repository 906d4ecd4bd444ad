"""Reading the log: in pages, and as it grows."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from actors import checks
from actors.bus.domain import subscriptions
from actors.bus.domain.sight import Sight
from actors.bus.messages import BrowseEvents, EventPage, Tail, TailEvents
from actors.bus.store import ReadingStore
from actors.errors import Overloaded, ValidationError
from actors.events import StoredEvent
from actors.runtime import scope
from actors.runtime.message import Handlers
from actors.runtime.turns import in_turns
from actors.settings import BusSettings

Wanted = Callable[[StoredEvent], bool]
CompileFilter = Callable[[Mapping[str, Any]], Wanted]


class Wait(Protocol):
    """A pause that ends early when the log has grown; `actors.storage.streams.WakeUp`."""

    async def wait(self, timeout_s: float) -> bool:
        """Waits at most so long."""


class ReadingSage:
    """Shows a guild its events, to each caller those that they may see.

    All tails of a member share one pause.
    """

    def __init__(
        self,
        store: ReadingStore,
        settings: BusSettings,
        *,
        compile_filter: CompileFilter,
        wake_up: Wait,
    ) -> None:
        self._store = store
        self._settings = settings
        self._compile_filter = compile_filter
        self._wake_up = wake_up
        self._pause: asyncio.Task[bool] | None = None
        self.tails = 0

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {BrowseEvents: self.browse, TailEvents: self.tail}

    async def browse(self, query: BrowseEvents) -> EventPage:
        """A page of the guild's log; what the caller may not see is missing from it."""
        for name, value in (("correlation_id", query.correlation_id), ("subject", query.subject)):
            checks.sought(name, value)
        subscriptions.check_types("types", query.types, self._settings)
        page = await self._store.browse(query, self._limit(query.limit))
        sight = Sight(query.context.caller)
        return replace(page, events=tuple(one for one in page.events if sight.includes(one)))

    async def tail(self, query: TailEvents) -> Tail:
        """What is new and wanted; after ``wait_s`` an empty answer whose frontier has moved on.

        Pages without a wanted event are passed over, also beyond ``wait_s``, while the caller's
        time lasts; what was passed over is not read again.
        """
        limit, spec = self._limit(query.limit), query.filter_spec
        subscriptions.check_filter(spec, self._settings)
        if spec.get("similar_to") is not None:
            raise ValidationError("filter.similar_to", "is for subscriptions: it needs one's id")
        wanted = self._compile_filter(spec)
        if self.tails >= self._settings.max_tails:
            raise Overloaded(self._settings.retry_after_s, "the live tail")
        self.tails += 1
        try:
            return await self._tail(query, limit, wanted)
        finally:
            self.tails -= 1

    async def _tail(self, query: TailEvents, limit: int, wanted: Wanted) -> Tail:
        loop = asyncio.get_running_loop()
        most_s = self._settings.tail_wait_s
        ends_at = loop.time() + patience_s(query.wait_s, most_s)
        gives_up_at = loop.time() + patience_s(most_s, most_s)
        caller, frontier = query.context.caller, query.frontier
        sight = Sight(caller)
        while True:
            events, frontier, more = await self._store.advance(caller.guild_id, frontier, limit)
            visible = [one for one in events if sight.includes(one)]
            found = [
                event async for event in in_turns(visible, self._settings.hold_s) if wanted(event)
            ]
            left_s = (gives_up_at if more else ends_at) - loop.time()
            if found or left_s <= 0:
                return Tail(events=tuple(found), frontier=frontier, resume=frontier.settled)
            if not more:
                await self._growth(left_s)

    async def _growth(self, left_s: float) -> None:
        """Waits until the log may have grown, with everybody else who waits for it."""
        if self._pause is None or self._pause.done():
            self._pause = asyncio.create_task(self._wake_up.wait(self._settings.tail_poll_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await asyncio.shield(self._pause)

    def _limit(self, asked: int) -> int:
        if not 1 <= asked <= self._settings.max_page:
            raise ValidationError("limit", f"is not between 1 and {self._settings.max_page}")
        return asked


def patience_s(asked_s: float, most_s: float) -> float:
    """How long a caller may be kept waiting: the answer must still reach them in time."""
    if not asked_s >= 0:
        raise ValidationError("wait_s", "is below 0")
    on_its_way_s = 0.2
    left_s = scope.remaining_s(most_s + on_its_way_s) - on_its_way_s
    return max(0.0, min(asked_s, most_s, left_s))
