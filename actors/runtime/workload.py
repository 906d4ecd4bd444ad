"""The member's side of a mailbox: handles batches so that no message waits for a slower one.

A batch is answered with what is done within a few milliseconds. What is not goes, when it is
done, into the box of its caller, who collects it by one long poll. See docs/adr/0001.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import structlog

from actors import metrics
from actors.errors import DependencyUnavailable, ElderGuildError, Overloaded
from actors.runtime import tracing
from actors.runtime.envelope import Answer, Batch, Envelope, Finished, seal_outcome, unseal
from actors.runtime.message import Message, Outcome
from actors.settings import RuntimeSettings

Run = Callable[[Message[Any], float, int], Awaitable[Outcome[Any]]]
"""Handles one message: message, seconds left, attempt."""

_log = structlog.get_logger("elders_guild.runtime")


class Workload:
    """What one member has accepted and not yet handed back. Bounded.

    Attributes:
        draining: whether new messages are refused.
        handled: messages handled so far.
        unfinished: messages running, or done and not yet handed back.
    """

    def __init__(self, pool: str, incarnation: str, run: Run, settings: RuntimeSettings) -> None:
        self._pool = pool
        self._incarnation = incarnation
        self._run = run
        self._settings = settings
        self._boxes: dict[str, _Box] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.draining = False
        self.handled = 0
        self.unfinished = 0

    @property
    def waiting(self) -> int:
        """Messages waiting at the callers, by their latest word."""
        return sum(box.left_waiting for box in self._told_lately())

    @property
    def oldest_wait_s(self) -> float:
        """Wait of the oldest of them."""
        return max((box.oldest_wait_s for box in self._told_lately()), default=0.0)

    async def submit(self, batch: Batch) -> Answer:
        """Starts every message; answers what is done when all are, or after the linger time."""
        box = self._box(batch.caller)
        box.tell(batch)
        gathering = _Gathering(1 if batch.eager else len(batch.envelopes), box)
        for envelope in batch.envelopes:
            refusal = self._refusal()
            if refusal is None:
                self.unfinished += 1
                task = asyncio.create_task(self._work(envelope, gathering))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            else:
                gathering.add(_finished(envelope, Outcome(error=refusal)))
        return Answer(self._incarnation, await gathering.close(self._settings.linger_ms / 1000))

    async def collect(self, caller: str) -> Answer:
        """Leftovers of this caller's batches: at once if there are any, else when one is done.

        Answers empty after the collect timeout, so that a lost caller does not stay for ever.
        """
        box = self._box(caller)
        finished = await box.take(self._settings.collect_timeout_s)
        self.unfinished -= len(finished)
        return Answer(self._incarnation, finished)

    def sweep(self) -> None:
        """Forgets callers that have not been heard of for long, with what they left behind."""
        oldest = time.monotonic() - self._settings.uncollected_ttl_s
        for caller in [name for name, box in self._boxes.items() if box.seen_at < oldest]:
            box = self._boxes.pop(caller)
            box.forgotten = True
            self.unfinished -= len(box.finished)

    def _told_lately(self) -> Iterator["_Box"]:
        """What a caller said long ago is true no more: it expired, or went to another member."""
        oldest = time.monotonic() - self._settings.submit_timeout_s
        return (box for box in self._boxes.values() if box.told_at >= oldest)

    def _refusal(self) -> ElderGuildError | None:
        if self.draining:
            return DependencyUnavailable(self._pool)
        if self.unfinished >= self._settings.max_unfinished:
            metrics.REFUSED.labels(self._pool, "member").inc()
            return Overloaded(self._settings.retry_after_s, f"the {self._pool} pool")
        return None

    async def _work(self, envelope: Envelope, gathering: "_Gathering") -> None:
        outcome: Outcome[Any]
        try:
            message = unseal(envelope.body)
        except Exception:  # a class that this version does not have
            _log.exception("message_unreadable", pool=self._pool)
            outcome = Outcome(error=ElderGuildError("a message that cannot be read"))
        else:
            name = type(message).__name__
            with tracing.received(envelope.trace, name, pool=self._pool) as span:
                outcome = await self._run(message, envelope.timeout_s, envelope.attempt)
                if outcome.error is not None:
                    span.fail(outcome.error.code)
        self.handled += 1
        if gathering.add(_finished(envelope, outcome)):
            self.unfinished -= 1

    def _box(self, caller: str) -> "_Box":
        box = self._boxes.get(caller)
        if box is None:
            box = self._boxes[caller] = _Box()
        box.seen_at = time.monotonic()
        return box


class _Box:
    """Outcomes of one caller that came too late for their batch's answer."""

    def __init__(self) -> None:
        self.finished: list[Finished] = []
        self.left_waiting = 0
        self.oldest_wait_s = 0.0
        self.told_at = 0.0
        self.seen_at = 0.0
        self.forgotten = False
        self._arrived = asyncio.Event()
        self._takers = 0

    def tell(self, batch: Batch) -> None:
        """The caller's word of what still waits there."""
        self.left_waiting, self.oldest_wait_s = batch.left_waiting, batch.oldest_wait_s
        self.told_at = time.monotonic()

    def put(self, finished: Finished) -> None:
        self.finished.append(finished)
        self._arrived.set()

    async def take(self, timeout_s: float) -> tuple[Finished, ...]:
        """Waits for outcomes and hands them over; to who came last, as nobody reads the others."""
        self._takers += 1
        taker = self._takers
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return ()
        if taker != self._takers:
            return ()
        self._arrived.clear()
        taken, self.finished = tuple(self.finished), []
        return taken


class _Gathering:
    """The outcomes of one batch until it is answered; afterwards they go into the box."""

    def __init__(self, expected: int, box: _Box) -> None:
        self._expected = expected
        self._box = box
        self._finished: list[Finished] = []
        self._enough = asyncio.Event()
        self._closed = False

    def add(self, finished: Finished) -> bool:
        """Whether this was the last we have to do with it; else it waits to be collected."""
        if self._closed:
            if self._box.forgotten:
                return True
            self._box.put(finished)
            return False
        self._finished.append(finished)
        if len(self._finished) == self._expected:
            # Not before the others have had their turn that were woken together with this one.
            asyncio.get_running_loop().call_soon(self._enough.set)
        return True

    async def close(self, linger_s: float) -> tuple[Finished, ...]:
        try:
            async with asyncio.timeout(linger_s):
                await self._enough.wait()
        except TimeoutError:
            pass
        finally:
            self._closed = True
        return tuple(self._finished)


def _finished(envelope: Envelope, outcome: Outcome[Any]) -> Finished:
    return Finished(envelope.ticket, seal_outcome(outcome))
