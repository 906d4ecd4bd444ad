"""HTTP load from a process of its own, so that it does not share the event loop of who measures.

Closed: each of so many connections sends its next request when it has the reply. Open: requests
leave at a fixed rate whatever comes back, and are timed from the moment they were due, so that a
server that stands still is charged for everyone who would have waited.
"""

import asyncio
import sys
from dataclasses import asdict, dataclass

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send.

    Attributes:
        path: of every request.
        slow_path: of one request in ``slow_every``; 0: of none.
        rate: requests a second for open load; 0: closed.
        bearer: token of every request; only of a server that lives as long as the run.
    """

    port: int
    path: str
    seconds: float
    connections: int
    rate: float = 0.0
    slow_path: str = ""
    slow_every: int = 0
    bearer: str = ""


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
