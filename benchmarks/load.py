"""HTTP load from a process of its own: ``python -m benchmarks.load closed|open …``.

Closed: each of so many connections sends its next request when it has the reply. Open: requests
leave at a fixed rate whatever comes back, and are timed from the moment they were due, so that a
server that stands still is charged for everyone who would have waited. Prints one JSON object.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

import orjson
import uvloop

from benchmarks.frame import percentile

MAX_CONNECTIONS = 512
_DRAIN_S, _DRAIN_STEP_S = 5.0, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send.

    Attributes:
        path: of every request.
        slow_path: of one request in ``slow_every``; 0: of none.
        rate: requests a second for open load; 0: closed.
    """

    port: int
    path: str
    seconds: float
    connections: int
    rate: float = 0.0
    slow_path: str = ""
    slow_every: int = 0


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
        self.due = 0.0
        self.slow = False
        self.busy = False

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
        good = self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = self._buffer[end:]
        self.busy = False
        self._done(self, good)

    def connection_lost(self, error: Exception | None) -> None:
        """A request under way has failed."""
        if self.busy:
            self.busy = False
            self._done(self, False)

    def close(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()


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


def request(port: int, path: str) -> bytes:
    """A GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


async def closed(load: Load) -> Seen:
    """As fast as the replies come back, on every connection."""
    seen = Seen()
    payload = request(load.port, load.path)
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
    await _finish(connections, seen)
    return seen


async def open_(load: Load) -> Seen:
    """At the rate, whatever comes back. A request that finds no free connection waits, timed."""
    seen = Seen()
    fast, slow = request(load.port, load.path), request(load.port, load.slow_path)
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
    await _finish(connections, seen)
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


async def _finish(connections: Sequence[Connection], seen: Seen) -> None:
    """Gives what is under way a bounded time to come back."""
    for _ in range(int(_DRAIN_S / _DRAIN_STEP_S)):
        if not any(one.busy for one in connections):
            break
        await asyncio.sleep(_DRAIN_STEP_S)
    seen.unanswered = sum(one.busy for one in connections)
    for connection in connections:
        connection.busy = False
        connection.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Sends the load that the command line describes and prints what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--slow-path", default="")
    parser.add_argument("--slow-every", type=int, default=0)
    load = Load(**vars(parser.parse_args(argv)))
    seen = uvloop.run(open_(load) if load.rate else closed(load))
    sys.stdout.buffer.write(orjson.dumps(seen.summary()) + b"\n")
    return 0


async def in_other_process(load: Load) -> dict[str, float]:
    """Runs the load in a process of its own, so that it does not share our event loop.

    Raises:
        RuntimeError: it failed; the text ends with what it said last.
    """
    arguments = [
        f"--{name.replace('_', '-')}={value}" for name, value in asdict(load).items() if value
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.load",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(load.seconds + 60):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"the load failed: {errors.decode().strip().splitlines()[-1:]}")
    figures: dict[str, float] = orjson.loads(output)
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
