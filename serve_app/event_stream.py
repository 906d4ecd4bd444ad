"""An event stream: the log as it grows, to one reader, until one of them ends it.

There is no state but the reader's place in the log. Whatever ends a stream, the reader comes again
with the last ``id`` it saw and misses nothing; what a transaction that was open then has hidden
may make it see some events twice, which ``source`` and ``id`` of a CloudEvent tell.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from actors import cloudevents, events, metrics
from actors.bus.messages import Tail, TailEvents
from actors.carried import original
from actors.errors import ElderGuildError
from actors.events import StoredEvent
from actors.runtime.message import Position
from actors.storage.frontier import Frontier
from serve_app import sse
from serve_app.call import Call

_log = structlog.get_logger("elders_guild.gateway")
_LAST_WORDS_S = 1.0


class Shown(NamedTuple):
    """An event as a reader gets it: its type, and the event as a structured CloudEvent, JSON."""

    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Feed:
    """What a reader wants, and how they see it; ``show`` answers None for what they do not."""

    filter_spec: Mapping[str, Any]
    show: Callable[[StoredEvent], Shown | None]


def as_it_is(event: StoredEvent) -> Shown:
    """The event itself."""
    return Shown(event.type, cloudevents.structured(event))


def matched_by(subscription_id: str) -> Callable[[StoredEvent], Shown | None]:
    """For a subscription by meaning: of each match the event that it is about.

    A match that cannot be opened here is not shown.
    """

    def show(event: StoredEvent) -> Shown | None:
        match event.payload:
            case events.SubscriptionMatched() as found if any(
                one.subscription_id == subscription_id for one in found.matches
            ):
                inside = original(event)
                return None if inside is event else as_it_is(inside)
            case _:
                return None

    return show


def resume_after(shown: Position, before: Position, settled: Position) -> Position:
    """Where to resume once this event of a page is shown: nothing at or below is missing.

    Args:
        shown: the event's position; those of a page ascend.
        before: where to resume before it.
        settled: where to resume after the page; transactions that are open are above it.
    """
    return min(max(before, shown), settled)


class EventStream(Response):
    """The answer that does not end by itself."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, call: Call, feed: Feed, begin: Position | None) -> None:
        """Nothing is asked and no place is taken before it is called.

        Args:
            call: the request; the stream does not outlive its token.
            feed: what is wanted.
            begin: the place behind which to begin; None: what happens from now on.
        """
        self.status_code = 200
        self.background = None
        self.init_headers(sse.HEADERS)
        self._call = call
        self._feed = feed
        self._begin = begin
        self._bus = call.gateway.settings.bus

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streams. What is wrong before the first byte is raised, so it is answered as a problem.

        Raises:
            Problem: there is no place.
            ElderGuildError: filter or position are refused, or the bus is away.
        """
        server = scope.get("server")
        address = None if server is None or server[1] is None else (server[0], server[1])
        with self._call.gateway.streams.place(self._call.caller, address) as ending:
            since = None if self._begin is None else Frontier.at(self._begin)
            first = await self._tail(since, wait_s=0.0)
            reason = "failed"
            try:
                reason = await self._run(first, ending, receive, send)
            except asyncio.CancelledError:
                reason = "gone"  # Serve cancels what nobody waits for
                raise
            finally:
                metrics.EVENT_STREAMS_ENDED.labels(reason).inc()

    async def _run(self, first: Tail, ending: asyncio.Event, receive: Receive, send: Send) -> str:
        """Runs until one part of it is over; answers why."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        owed = sse.Owed(self._bus.stream_buffer, self._bus.stream_buffer_bytes)
        reason = "failed"
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._produce(first, owed))
                parts.create_task(_deliver(owed, send))
                parts.create_task(_until_gone(receive))
                parts.create_task(_until_ending(ending))
                parts.create_task(_until_expiry(self._call.good_until))
                parts.create_task(_until_revoked(self._call))
        except* _Over as over:
            reason = _reason(over)
        match reason:
            case "expired":
                await _finish(send, sse.comment("the token has expired; come again with another"))
            case "revoked":
                await _finish(send, sse.comment("the token was revoked"))
            case "draining":
                await _finish(send, sse.comment("this server is about to stop; come again"))
            case "failed":
                await _finish(send, b"")
            case _:
                pass  # nobody listens
        return reason

    async def _produce(self, tail: Tail, owed: sse.Owed) -> None:
        """Reads on for ever, as fast as the reader takes."""
        try:
            resume = tail.resume if self._begin is None else self._begin
            await self._put(owed, sse.opening(resume, self._bus.stream_retry_s))
            while True:
                told = False
                for event in tail.events:
                    resume = resume_after(event.position, resume, tail.resume)
                    if (shown := self._feed.show(event)) is not None:
                        await self._put(owed, sse.event(resume, shown.type, shown.data))
                        told = True
                resume = tail.resume
                if not told and not owed:
                    await self._put(owed, sse.heartbeat(resume))
                tail = await self._tail(tail.frontier, self._bus.heartbeat_s)
        except sse.SlowReader:
            raise _Over("slow") from None
        except ElderGuildError as error:
            await self._fail(owed, error)
        except Exception:
            _log.exception("stream_failed", request_id=self._call.request_id)
            await self._fail(owed, ElderGuildError())

    async def _tail(self, frontier: Frontier | None, wait_s: float) -> Tail:
        query = TailEvents(
            context=self._call.context,
            frontier=frontier,
            filter_spec=self._feed.filter_spec,
            limit=self._bus.max_page,
            wait_s=wait_s,
        )
        return await self._call.ask("bus", query)

    async def _put(self, owed: sse.Owed, frame: bytes) -> None:
        await owed.put(frame, self._bus.heartbeat_s)

    async def _fail(self, owed: sse.Owed, error: ElderGuildError) -> None:
        try:
            await self._put(owed, sse.failure(error))
        except sse.SlowReader:
            raise _Over("slow") from None
        owed.close()


class _Over(Exception):
    """The stream is over; the argument says why, as a metric's label."""


def _reason(over: BaseExceptionGroup[_Over]) -> str:
    """The first that was raised; who is gone is told nothing."""
    reasons = [str(one) for one in over.exceptions]
    return "gone" if "gone" in reasons else reasons[0]


async def _deliver(owed: sse.Owed, send: Send) -> NoReturn:
    while (body := await owed.take()) is not None:
        try:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        except OSError:
            raise _Over("gone") from None
    raise _Over("failed")


async def _until_gone(receive: Receive) -> NoReturn:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _Over("gone")


async def _until_ending(ending: asyncio.Event) -> NoReturn:
    await ending.wait()
    raise _Over("draining")


async def _until_expiry(good_until: float) -> None:
    if math.isfinite(good_until):
        await asyncio.sleep(max(0.0, good_until - time.monotonic()))
        raise _Over("expired")


async def _until_revoked(call: Call) -> NoReturn:
    period_s = call.gateway.settings.gateway.revocation_poll_s
    while True:
        if call.revoked:
            raise _Over("revoked")
        await asyncio.sleep(period_s)


async def _finish(send: Send, last: bytes) -> None:
    """Ends the answer properly, unless the reader does not even take that."""
    try:
        async with asyncio.timeout(_LAST_WORDS_S):
            await send({"type": "http.response.body", "body": last, "more_body": False})
    except (TimeoutError, OSError):
        pass
