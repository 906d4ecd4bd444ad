"""Three times what the stack can answer: who is refused is told when to come back."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from benchmarks.faults.availability.traffic import token_of
from benchmarks.frame import percentile
from benchmarks.load import Load, in_other_process
from benchmarks.load.client import Connection, request
from benchmarks.local_stack import administrator
from cluster.api import API
from cluster.state import Stack

_PATH = f"{API}/tasks?limit=1"
_TIMES = 3.0
_MEASURE_S = 5.0
_CONNECTIONS = 32
_MOST_CONNECTIONS = 1_000  # two replicas take 768 requests at a time
_DRAIN_S, _STEP_S = 15.0, 0.05

Done = Callable[[Connection, bool], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overloaded:
    """What became of a rate that is too high.

    Attributes:
        capacity_rps: what was answered to as many clients as send when they have an answer.
        sent_rps: what was sent then, for ``seconds``; less where all connections waited.
        refused: 503 or 429 with ``Retry-After``.
        unadvised: the same without it, which must not be.
        failed: any other answer, or none.
    """

    capacity_rps: float
    sent_rps: float
    seconds: float
    good: int
    refused: int
    unadvised: int
    failed: int
    good_p99_ms: float
    refused_p99_ms: float


async def overload(stack: Stack, seconds: float) -> Overloaded:
    """Measures what the stack can answer, then sends three times that."""
    port = urlsplit(stack.api_url).port or 80
    async with httpx.AsyncClient(base_url=stack.api_url, trust_env=False) as client:
        token = await token_of(client, administrator(stack))
    load = Load(port=port, path=_PATH, seconds=_MEASURE_S, connections=_CONNECTIONS, bearer=token)
    await in_other_process(load)  # a stack that has just started is slower
    calm = await in_other_process(load)
    return await _send(port, token, calm["rps"], seconds)


async def _send(port: int, token: str, capacity_rps: float, seconds: float) -> Overloaded:
    counts: Counter[str] = Counter()
    times_ms: dict[str, list[float]] = {"good": [], "refused": []}
    idle: list[Connection] = []
    payload, rate = request(port, _PATH, token), _TIMES * capacity_rps

    def done(connection: Connection, good: bool) -> None:
        kind = "good" if good else _refusal(connection.reply)
        counts[kind] += 1
        if kind in times_ms:
            times_ms[kind].append((time.perf_counter() - connection.due) * 1000)
        if connection.reply:
            connection.reply = b""
            idle.append(connection)

    connections = [await _connect(port, done) for _ in range(_MOST_CONNECTIONS)]
    idle += connections
    began, sent = time.perf_counter(), 0
    while (now := time.perf_counter()) < began + seconds:
        for _ in range(int((now - began) * rate) - sent):
            sent += 1
            if idle:
                idle.pop().send(payload, due=now)
        await asyncio.sleep(0.002)
    for _ in range(int(_DRAIN_S / _STEP_S)):
        if not any(one.busy for one in connections):
            break
        await asyncio.sleep(_STEP_S)
    counts["failed"] += sum(one.busy for one in connections)
    for one in connections:
        one.busy = False
        one.close()
    return Overloaded(
        capacity_rps=capacity_rps,
        sent_rps=counts.total() / seconds,
        seconds=seconds,
        good=counts["good"],
        refused=counts["refused"],
        unadvised=counts["unadvised"],
        failed=counts["failed"],
        good_p99_ms=percentile(times_ms["good"] or [0.0], 0.99),
        refused_p99_ms=percentile(times_ms["refused"] or [0.0], 0.99),
    )


def _refusal(reply: bytes) -> str:
    if reply[9:12] not in (b"503", b"429"):
        return "failed"
    return "refused" if b"\r\nretry-after:" in reply.lower() else "unadvised"


async def _connect(port: int, done: Done) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(done), "127.0.0.1", port)
    return connection
