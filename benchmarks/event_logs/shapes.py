"""The three ways of publishing, each a closed loop for so many seconds."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.event_logs.drafts import Drafts, Log
from benchmarks.frame import Measurement, percentile


@dataclass(frozen=True, slots=True)
class Shape:
    """So many publishers, each with so many events in a request, one request at a time."""

    name: str
    publishers: int
    events: int


ONE = Shape("one", 1, 1)
MANY = Shape("c32", 32, 1)
BATCHES = Shape("b200", 4, 200)
SHAPES = (ONE, MANY, BATCHES)


@dataclass(slots=True)
class Acknowledged:
    """What was acknowledged.

    Attributes:
        seconds: from the first request to the last acknowledgement.
        latencies_ms: of the requests.
    """

    events: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Events a second."""
        return self.events / self.seconds


async def publish(log: Log, drafts: Drafts, shape: Shape, seconds: float) -> Acknowledged:
    """Begins requests for so long, at least one a publisher, and waits for all of them."""
    seen = Acknowledged()
    started = time.perf_counter()
    until = started + seconds

    async def publisher() -> None:
        begun = started
        while True:
            await log.write(drafts.take(shape.events))
            done = time.perf_counter()
            seen.events += shape.events
            seen.latencies_ms.append((done - begun) * 1000)
            if done >= until:
                return
            begun = done

    async with asyncio.TaskGroup() as group:
        for _ in range(shape.publishers):
            group.create_task(publisher())
    seen.seconds = time.perf_counter() - started
    return seen


async def measure(
    log: Log, drafts: Drafts, seconds: float, shapes: Sequence[Shape] = SHAPES
) -> Measurement:
    """Events a second and the median wait of each shape, one shape after the other."""
    found: dict[str, float] = {}
    for shape in shapes:
        seen = await publish(log, drafts, shape, seconds)
        found[f"{shape.name}_per_s"] = seen.per_s
        found[f"{shape.name}_ms_p50"] = percentile(seen.latencies_ms, 0.5)
        found[f"{shape.name}_ms_p99"] = percentile(seen.latencies_ms, 0.99)
    return found
