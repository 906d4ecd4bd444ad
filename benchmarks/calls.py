"""What a call between two actors of one node costs: through Ray, and through a socket.

One call at a time, a payload there and back; time as the caller sees it, and processor time of both
processes. ``nearest`` is what mailboxes use: the socket where somebody listens, else Ray.
"""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import ray

from actors.runtime.envelope import Answer, Batch, Envelope, Finished
from actors.runtime.mailbox import MemberPort
from actors.runtime.nearest import NearestPort
from actors.runtime.sockets import SocketClient, SocketServer
from benchmarks.frame import (
    Contender,
    Goal,
    Measurement,
    Options,
    Report,
    interleave,
    main,
    percentile,
)
from benchmarks.ray_stack import plain_ray
from benchmarks.reply_forms import Port

SIZES = {"small": 1_500, "large": 60_000}
_CALLS = 300


class Callee:
    """Answers what it is given."""

    def __init__(self, path: Path) -> None:
        self._server = SocketServer(path, {"submit": self.submit})

    async def open(self) -> int:
        """Listens; answers its process id."""
        await self._server.open()
        return os.getpid()

    async def submit(self, batch: Batch) -> Answer:
        """See `MemberPort`."""
        return Answer("one", tuple(Finished(one.ticket, one.body) for one in batch.envelopes))


class Caller:
    """Measures from a process of its own, as a gateway replica would."""

    async def measure(
        self, way: str, callee: Any, pid: int, path: Path, size: int, calls: int
    ) -> Measurement:
        """Milliseconds of a call, and microseconds of both processes."""
        port: MemberPort = Port(callee)
        if way == "nearest":
            port = NearestPort(SocketClient(path, look_again_s=0), port)
        batch = Batch("box", (Envelope(1, b"x" * size, 1.0, 1),), 0)
        await _timed(port.submit, batch, 20)
        there = psutil.Process(pid)
        before, here = _spent(there), time.process_time()
        waits = await _timed(port.submit, batch, calls)
        here, there_s = time.process_time() - here, _spent(there) - before
        await port.close()
        return {
            "ms_p50": percentile(waits, 0.5),
            "ms_p99": percentile(waits, 0.99),
            "caller_us": here / calls * 1e6,
            "callee_us": there_s / calls * 1e6,
        }


async def _timed(
    submit: Callable[[Batch], Awaitable[Answer]], batch: Batch, calls: int
) -> list[float]:
    waits = []
    for _ in range(calls):
        begun = time.perf_counter()
        await submit(batch)
        waits.append((time.perf_counter() - begun) * 1000)
    return waits


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def run(options: Options) -> Report:
    """Starts a Ray of its own, measures, stops it."""
    with plain_ray() as folder:
        path = folder / "sockets" / "callee.sock"
        callee: Any = ray.remote(Callee).options(num_cpus=0.1, max_concurrency=100).remote(path)
        caller: Any = ray.remote(Caller).options(num_cpus=0.1).remote()
        pid = await callee.open.remote()
        calls = _CALLS // 3 if options.quick else _CALLS

        def contender(way: str) -> Contender:
            async def turn() -> Measurement:
                found: dict[str, float] = {}
                for name, size in SIZES.items():
                    # Sockets are so quick that processor time needs more of them to be seen.
                    count = calls if way == "ray" else calls * 10
                    seen = await caller.measure.remote(way, callee, pid, path, size, count)
                    found |= {f"{name}_{metric}": value for metric, value in seen.items()}
                return found

            return turn

        ways = {way: contender(way) for way in ("ray", "nearest")}
        results = await interleave(ways, rounds=1 if options.quick else 5)

    def ratio(metric: str) -> float:
        return results["nearest"][metric].median / results["ray"][metric].median

    return Report(
        results=results,
        goals=(
            Goal(name="small_ms_p50_over_ray", measured=ratio("small_ms_p50"), at_most=0.2),
            Goal(name="small_caller_us_over_ray", measured=ratio("small_caller_us"), at_most=0.2),
        ),
        notes=("one call at a time; both actors on one node",),
        settings={"calls": calls, **{f"{name}_bytes": size for name, size in SIZES.items()}},
    )


if __name__ == "__main__":
    from benchmarks.calls import run  # workers know classes by this name

    raise SystemExit(main("calls", __doc__, run))
