"""How long another process is waited for, counted only while this one runs."""

import asyncio
from types import TracebackType

_STEPS = 4


class Patience:
    """Like `asyncio.timeout`, for an answer that comes from another process. For one use.

    An event loop that stood still finds what came meanwhile and the end of its patience at the same
    moment, and would take its own silence for the other's. So the time is counted in four steps,
    and one that is late by more than its length is not counted: what lies here is read first.
    """

    __slots__ = ("_due", "_handle", "_left", "_loop", "_step_s", "_timeout")

    def __init__(self, seconds: float) -> None:
        self._step_s = seconds / _STEPS
        self._left = _STEPS
        self._timeout = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._begin_step()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _begin_step(self) -> None:
        self._due = self._loop.time() + self._step_s
        self._handle = self._loop.call_at(self._due, self._end_step)

    def _end_step(self) -> None:
        now = self._loop.time()
        if now - self._due <= self._step_s:
            self._left -= 1
        if self._left:
            self._begin_step()
        else:
            self._timeout.reschedule(now)
