"""What surrounds the handling of every message, once for all sages.

Deadline, one-at-a-time per key, the recall of an earlier reply, metrics, one log line. A sage's
method sees none of it.
"""

import asyncio
import time
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from actors import metrics
from actors.errors import DeadlineExceeded, ElderGuildError, Overloaded
from actors.runtime import scope, subject
from actors.runtime.ledger import Ledger, may_be_a_repeat
from actors.runtime.message import Command, Handlers, Message, Outcome, ReplyT
from actors.runtime.one_at_a_time import OneAtATime
from actors.runtime.ping import Ping, pong
from actors.storage.inbox import AlreadyHandled

_log = structlog.get_logger("elders_guild.runtime")


class Handling:
    """Turns one message into one `Outcome`, whatever happens."""

    def __init__(self, handlers: Handlers, ledger: Ledger | None = None, pool: str = "local"):
        self._handlers: Handlers = {Ping: pong, **handlers}
        self._ledger = ledger
        self._pool = pool
        self._keys = OneAtATime()
        self._counted: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    async def run(
        self, message: Message[ReplyT], *, timeout_s: float | None = None, attempt: int = 1
    ) -> Outcome[ReplyT]:
        """Handles the message in the current task, which must be the message's own.

        Expected failures become the outcome's error. Anything else is a bug: it is logged with
        its traceback and answered by a bare `ElderGuildError` that tells nothing of the inside.
        """
        about = subject.begin(lambda: self._fields(message))
        try:
            return await self._run(message, timeout_s, attempt)
        finally:
            about.end()

    async def _run(
        self, message: Message[ReplyT], timeout_s: float | None, attempt: int
    ) -> Outcome[ReplyT]:
        started = time.perf_counter()
        surroundings = scope.enter(timeout_s)
        outcome: Outcome[ReplyT]
        try:
            async with asyncio.timeout(timeout_s):
                if (key := message.turn) is None:
                    outcome = await self._answer(message, surroundings, attempt)
                else:
                    async with self._keys.turn(key):
                        outcome = await self._answer(message, surroundings, attempt)
        except TimeoutError:
            outcome = Outcome(error=DeadlineExceeded("the request"))
        except ElderGuildError as error:
            outcome = Outcome(error=error, position=surroundings.position)
        except Exception:
            _log.exception("message_failed")
            outcome = Outcome(error=ElderGuildError("an unexpected failure"))
        self._note(message, outcome, time.perf_counter() - started)
        return outcome

    async def _answer(
        self, message: Message[ReplyT], surroundings: scope.Scope, attempt: int
    ) -> Outcome[ReplyT]:
        handler = self._handlers.get(type(message))
        if handler is None:
            raise LookupError(f"nobody here handles {type(message).__name__}")
        if may_be_a_repeat(message, attempt):
            recalled = await self._recall(message)
            if recalled is not None:
                return recalled
        try:
            reply = await handler(message)
        except AlreadyHandled:
            recalled = await self._recall(message)
            if recalled is None:
                raise
            return recalled
        return Outcome(reply=reply, position=surroundings.position)

    async def _recall(self, message: Message[ReplyT]) -> Outcome[ReplyT] | None:
        if self._ledger is None or not isinstance(message, Command):
            return None
        recalled = await self._ledger.recall(message)
        if recalled is None:
            return None
        return Outcome(reply=recalled.reply, position=recalled.position)

    def _note(self, message: Message[Any], outcome: Outcome[Any], seconds: float) -> None:
        code = "ok" if outcome.error is None else outcome.error.code
        name = type(message).__name__
        self._count(name, code, seconds)
        duration_ms = round(seconds * 1000, 2)
        match message, outcome.error:
            case _, Overloaded():
                _log.warning("message_handled", outcome=code, duration_ms=duration_ms)
            case Command(), _ if not (message.routine and outcome.error is None):
                _log.info("message_handled", outcome=code, duration_ms=duration_ms)
            case _:
                _log.debug("message_handled", outcome=code, duration_ms=duration_ms)

    def _count(self, name: str, code: str, seconds: float) -> None:
        counted = self._counted.get((name, code))
        if counted is None:  # looking a series up costs more than counting
            counted = self._counted[name, code] = (
                metrics.MESSAGES.labels(self._pool, name, code),
                metrics.MESSAGE_SECONDS.labels(self._pool, name),
            )
        messages, took = counted
        messages.inc()
        took.observe(seconds)

    def _fields(self, message: Message[Any]) -> subject.Fields:
        """Of every line that is written meanwhile."""
        command_id = message.command_id if isinstance(message, Command) else None
        return subject.of_message(message) | {"pool": self._pool, "command_id": command_id}
