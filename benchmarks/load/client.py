"""The client: keep-alive connections, closed or open load, what came back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from benchmarks.frame import percentile
from benchmarks.load import Load

MAX_CONNECTIONS = 512
_DRAIN_S, _DRAIN_STEP_S = 5.0, 0.01


@dataclass(slots=True, kw_only=True)
class Seen:
    """What came back. Latencies in milliseconds; the slow ones are not among them."""

    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0
    unanswered: int = 0
    seconds: float = 0.0

    def summary(self) -> dict[str, float]:
        """The figures of the run, as plain data."""
        if not self.latencies_ms:
            raise ValueError(f"no reply at all; {self.failed} failed")
        return {
            "rps": len(self.latencies_ms) / self.seconds,
            "p50_ms": percentile(self.latencies_ms, 0.50),
            "p95_ms": percentile(self.latencies_ms, 0.95),
            "p99_ms": percentile(self.latencies_ms, 0.99),
            "failed": self.failed,
            "unanswered": self.unanswered,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, done: Callable[["Connection", bool], None]) -> None:
        self._done = done
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None
        self.reply = b""
        self.due = 0.0
        self.slow = False
        self.busy = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one by shape only

    def send(self, request: bytes, *, due: float, slow: bool = False) -> None:
        """Sends one request; ``done`` is called when its reply is complete."""
        if self._transport is None:
            raise RuntimeError("not connected yet")
        self.due, self.slow, self.busy = due, slow, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collects one reply."""
        self._buffer += data
        end = reply_end(self._buffer)
        if end is None:
            return
        good = self._buffer.startswith(b"HTTP/1.1 2")
        self.reply, self._buffer = self._buffer[:end], self._buffer[end:]
        self.busy = False
        self._done(self, good)

    def connection_lost(self, error: Exception | None) -> None:
        """A request under way has failed."""
        self.lost = True
        if self.busy:
            self.busy = False
            self._done(self, False)

    def close(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    """A connection of whoever waits for each reply: a request in, its whole reply out.

    Raises:
        ConnectionError: it was closed instead of a reply.
    """
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[bytes]] = []

    def done(connection: Connection, good: bool) -> None:
        answer = waiting.pop()
        if answer.done():
            return  # nobody waits any more
        if connection.reply:
            answer.set_result(connection.reply)
        else:
            answer.set_exception(ConnectionError("the connection was closed"))

    async def ask(request: bytes) -> bytes:
        if connection.lost:
            raise ConnectionError("the connection was closed")
        waiting.append(loop.create_future())
        connection.reply = b""
        connection.send(request, due=loop.time())
        return await waiting[-1]

    _, connection = await loop.create_connection(lambda: Connection(done), host, port)
    try:
        yield ask
    finally:
        connection.close()


def reply_end(buffer: bytes) -> int | None:
    """Where the first reply in the buffer ends, or None while it is not complete.

    Raises:
        ValueError: the reply has no Content-Length; the servers under test always send one.
    """
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    for line in buffer[:head_end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            end = head_end + 4 + int(value)
            return end if len(buffer) >= end else None
    raise ValueError("a reply without Content-Length")


def request(port: int, path: str, bearer: str = "") -> bytes:
    """A GET as it goes over the wire."""
    told = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{told}\r\n".encode()


async def closed(load: Load) -> Seen:
    """As fast as the replies come back, on every connection."""
    seen = Seen()
    payload = request(load.port, load.path, load.bearer)
    started = time.perf_counter()
    until = started + load.seconds

    def done(connection: Connection, good: bool) -> None:
        now = time.perf_counter()
        if good and now <= until:
            seen.latencies_ms.append((now - connection.due) * 1000)
        seen.failed += not good
        if good and now < until:
            connection.send(payload, due=now)

    connections = await _connect(load, done)
    started = time.perf_counter()
    until = started + load.seconds
    for connection in connections:
        connection.send(payload, due=started)
    await asyncio.sleep(load.seconds)
    seen.seconds = load.seconds
    await finish(connections, seen)
    return seen


async def open_(load: Load) -> Seen:
    """At the rate, whatever comes back. A request that finds no free connection waits, timed."""
    seen = Seen()
    fast = request(load.port, load.path, load.bearer)
    slow = request(load.port, load.slow_path, load.bearer)
    idle: list[Connection] = []
    overdue: list[tuple[float, bool]] = []

    def send(connection: Connection, due: float, is_slow: bool) -> None:
        connection.send(slow if is_slow else fast, due=due, slow=is_slow)

    def done(connection: Connection, good: bool) -> None:
        now = time.perf_counter()
        seen.failed += not good
        if good and not connection.slow:
            seen.latencies_ms.append((now - connection.due) * 1000)
            seen.seconds = now - started
        if overdue and good:
            send(connection, *overdue.pop(0))
        elif good:
            idle.append(connection)

    idle.extend(await _connect(load, done))
    connections = list(idle)
    started = time.perf_counter()
    for number in range(int(load.rate * load.seconds)):
        due = started + number / load.rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        is_slow = load.slow_every > 0 and number % load.slow_every == load.slow_every // 2
        if idle:
            send(idle.pop(), due, is_slow)
        else:
            overdue.append((due, is_slow))
    await finish(connections, seen)
    seen.unanswered += len(overdue)
    return seen


async def _connect(load: Load, done: Callable[[Connection, bool], None]) -> list[Connection]:
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(min(load.connections, MAX_CONNECTIONS)):
        _, connection = await loop.create_connection(
            lambda: Connection(done), "127.0.0.1", load.port
        )
        made.append(connection)
    return made


async def finish(connections: Sequence[Connection], seen: Seen) -> None:
    """Gives what is under way a bounded time to come back."""
    for _ in range(int(_DRAIN_S / _DRAIN_STEP_S)):
        if not any(one.busy for one in connections):
            break
        await asyncio.sleep(_DRAIN_STEP_S)
    seen.unanswered = sum(one.busy for one in connections)
    for connection in connections:
        connection.busy = False
        connection.close()
