"""Hitting one target, and waiting until all is well again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import httpx
import redis.asyncio

from benchmarks import casualties
from benchmarks.faults.crew import Crew
from benchmarks.faults.effects import Books
from benchmarks.faults.plan import CONSUMER, FLUSH, NOTHING
from cluster.state import Stack

BACK_S, WHOLE_S = 60.0, 25.0
_POLL_S = 0.1
_HTTP_TIMEOUT_S = 2.0
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault as it happened. Seconds.

    Attributes:
        at_s: since the run began.
        pid: of the process that was ended; 0 where none was.
        back_s: until an event whose publishing began after the fault had taken effect at every
            consumer; None: not within the bound.
        whole_s: until the target itself was there again, too; nobody waits long for that.
        silent: consumers that had handled no such event within the bound.
    """

    target: str
    at_s: float
    pid: int
    back_s: float | None = None
    whole_s: float | None = None
    silent: tuple[str, ...] = ()


class Striker:
    """Hits the targets of one stack."""

    def __init__(self, stack: Stack, crew: Crew, books: Books) -> None:
        self._stack = stack
        self._crew = crew
        self._books = books
        self._began = time.monotonic()

    async def strike(self, target: str) -> Fault:
        """Hits it and waits, for a bounded time, until the service and the target are back."""
        numbers = await asyncio.to_thread(self._living, target)
        pid = await self._hit(target)
        struck = time.monotonic()

        async def whole() -> bool:
            return await self._is_there(target, pid, numbers)

        silent: tuple[str, ...] = ()

        async def flows() -> bool:
            nonlocal silent
            silent = await self._books.silent(struck)
            return not silent

        back_s, whole_s = await asyncio.gather(
            _until(flows, struck, BACK_S), _until(whole, struck, WHOLE_S)
        )
        if back_s is not None and whole_s is not None:
            whole_s = max(back_s, whole_s)
        return Fault(
            target=target,
            at_s=struck - self._began,
            pid=pid,
            back_s=back_s,
            whole_s=whole_s,
            silent=silent,
        )

    async def _hit(self, target: str) -> int:
        if target == NOTHING:
            return 0
        if target == FLUSH:
            await _flush(self._stack.redis_url)
            return 0
        if target == CONSUMER:
            pid = self._crew.kill("consumer")
            self._crew.start("consumer")
            return pid
        return await asyncio.to_thread(casualties.kill, self._stack, target)

    def _living(self, target: str) -> int:
        if target in (NOTHING, FLUSH, CONSUMER):
            return 0
        return len(casualties.pids_of(self._stack, target))

    async def _is_there(self, target: str, pid: int, number: int) -> bool:
        if target in (NOTHING, FLUSH):
            return True
        if target == CONSUMER:
            await asyncio.to_thread(self._crew.wait_ready, "consumer")
            return True
        pids = await asyncio.to_thread(casualties.pids_of, self._stack, target)
        if pid in pids or len(pids) < number:
            return False
        return target != "gateway" or await _answers(self._stack.api_url)


async def _until(
    condition: Callable[[], Awaitable[bool]], since: float, at_most_s: float
) -> float | None:
    """Seconds since a moment until the condition holds; None: it did not in time."""
    while time.monotonic() < since + at_most_s:
        try:
            if await condition():
                return time.monotonic() - since
        except _AWAY:
            pass
        await asyncio.sleep(_POLL_S)
    return None


async def _flush(url: str) -> None:
    """Empties Redis as soon as it is there to be emptied."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        await client.flushall()
    finally:
        await client.aclose()


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient(timeout=_HTTP_TIMEOUT_S) as client:
        try:
            answer = await client.get(f"{url}/readyz")
        except httpx.HTTPError:
            return False
    return answer.status_code == httpx.codes.OK
