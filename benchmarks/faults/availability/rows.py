"""One row a part: hit it while clients ask, and wait until all is well again."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from benchmarks import casualties
from benchmarks.faults.availability.noticed import Noticed, noticed
from benchmarks.faults.availability.overload import Overloaded, overload
from benchmarks.faults.availability.traffic import Traffic, flowing
from benchmarks.faults.plan import NOTHING, STACK
from benchmarks.local_stack import administrator, started
from cluster import marker
from cluster.api import Api
from cluster.state import Stack

_CALM_BEFORE_S, _CALM_AFTER_S = 2.0, 5.0
_AT_MOST_S = 120.0
_POLL_S = 0.25
_OVERLOAD_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All rows, and what became of the tasks that were acknowledged meanwhile."""

    rows: tuple[Noticed, ...]
    overloaded: Overloaded
    acknowledged: int
    lost: int
    doubled: int


async def play(
    folder: Path, targets: Sequence[str], rate: float, say: Callable[[str], None]
) -> Outcome:
    """Plays one row after the other on a stack of its own.

    Args:
        folder: of the stack's data.
        targets: in this order; `STACK` last.
        rate: requests a second.
        say: takes one line about each row.
    """
    traffics: list[tuple[str, Sequence[str]]] = []
    rows = []
    with ExitStack() as stacks:
        stack = await asyncio.to_thread(stacks.enter_context, started(folder))
        say("the stack is up")
        overloaded = await overload(stack, _OVERLOAD_S)
        say(f"overload: {overloaded.good} good, {overloaded.refused} refused")
        for target in (NOTHING, *targets):
            async with flowing(stack, rate) as traffic:
                await asyncio.sleep(_CALM_BEFORE_S)
                struck = time.monotonic()
                if target == STACK:
                    _end_all(stack)
                    again = started(folder, ["--port", str(urlsplit(stack.api_url).port)])
                    stack = await asyncio.to_thread(stacks.enter_context, again)
                    there_again_s: float | None = time.monotonic() - struck
                elif target == NOTHING:
                    there_again_s = 0.0
                else:
                    there_again_s = await _hit(stack, target, struck)
                await _calm(traffic)
            row = noticed(target, traffic.since(struck), there_again_s)
            traffics.append((traffic.label, traffic.acknowledged))
            rows.append(row)
            say(
                f"{target:<10} {row.failed} of {row.reads} reads failed, for {row.outage_s:.1f} s;"
                f" slowest write {row.slowest_write_s:.1f} s"
            )
        lost, doubled = await _count(stack, traffics)
    return Outcome(
        rows=tuple(rows),
        overloaded=overloaded,
        acknowledged=sum(len(ids) for _, ids in traffics),
        lost=lost,
        doubled=doubled,
    )


async def _hit(stack: Stack, target: str, struck: float) -> float | None:
    """Ends one process of the target; seconds until there are as many as before, others than it."""
    number = len(await asyncio.to_thread(casualties.pids_of, stack, target))
    pid = await asyncio.to_thread(casualties.kill, stack, target)
    while time.monotonic() < struck + _AT_MOST_S:
        pids = await asyncio.to_thread(casualties.pids_of, stack, target)
        if pid not in pids and len(pids) >= number:
            return time.monotonic() - struck
        await asyncio.sleep(_POLL_S)
    return None


async def _calm(traffic: Traffic) -> None:
    """Until no request has failed for a while, or the bound is reached."""
    gives_up_at = time.monotonic() + _AT_MOST_S
    while (now := time.monotonic()) < gives_up_at:
        await asyncio.sleep(_CALM_AFTER_S)
        latest = traffic.since(now)
        if latest and all(one.good for one in latest):
            return


def _end_all(stack: Stack) -> None:
    """As a power cut: whoever would start the others again goes first."""
    for pid in (stack.pid, *(one.pid for one in marker.find(stack.stack_id))):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def _count(stack: Stack, traffics: Sequence[tuple[str, Sequence[str]]]) -> tuple[int, int]:
    """Acknowledged tasks that are not there, and names that are there twice."""
    lost = doubled = 0
    async with Api(stack.api_url, administrator(stack)) as api:
        guild = await api.guild_id()
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute("SELECT set_config('guild.id', $1, false)", guild)
        for label, ids in traffics:
            rows = await connection.fetch(
                "SELECT task_id, name FROM tasks WHERE starts_with(name, $1)", label
            )
            lost += len(set(ids) - {row["task_id"] for row in rows})
            doubled += len(rows) - len({row["name"] for row in rows})
    finally:
        await connection.close()
    return lost, doubled
