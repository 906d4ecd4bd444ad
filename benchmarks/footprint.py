"""What a stack costs that nobody asks anything: its start by phases, its memory, its idle CPU.

Memory is the proportional set size: pages that several processes share are counted once. The first
start makes the data folder, as ``make run`` does; the second finds it.
"""

import asyncio
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from benchmarks.frame import Goal, Measurement, Options, Report, Summary, main
from benchmarks.local_stack import started
from cluster import marker
from cluster.state import Stack

_START_S, _MEMORY_MIB = 45.0, 2048.0
_SETTLE_S = 20.0
_SHOWN = 30
_READY_LINE_S = 5.0
_PHASE = re.compile(r"^\[ *([0-9.]+) s\] (.+)$", re.MULTILINE)


async def run(options: Options) -> Report:
    """Starts a stack twice, and looks at it while nobody asks anything."""
    idle_s = 10.0 if options.quick else 60.0
    with tempfile.TemporaryDirectory(prefix="gf-") as name:
        root = Path(name)
        await asyncio.to_thread(root.chmod, 0o711)  # PostgreSQL may run as another account
        starts, found = await asyncio.to_thread(_measure, root / "d", idle_s)
    first, again = starts
    total = found["all processes"]
    return Report(
        results={
            name: {metric: Summary.of([value]) for metric, value in figures.items()}
            for name, figures in found.items()
        },
        goals=(
            Goal(name="first_start_s", measured=first[-1][0], at_most=_START_S),
            Goal(name="idle_pss_mib", measured=total["pss_mib"], at_most=_MEMORY_MIB),
        ),
        notes=tuple(
            f"{which}: " + ", ".join(f"{text} {seconds:.1f} s" for seconds, text in phases)
            for which, phases in (("first start", first), ("second start", again))
        ),
        settings={"idle_s": idle_s},
    )


Phases = list[tuple[float, str]]


def _measure(folder: Path, idle_s: float) -> tuple[list[Phases], dict[str, Measurement]]:
    log = folder.with_name(f"{folder.name}.up.log")
    starts, found = [], {}
    for number in range(2):
        began = len(log.read_text()) if log.exists() else 0
        with started(folder) as stack:
            starts.append(_whole(log, began))
            if number:
                time.sleep(_SETTLE_S)
                found = _look(stack, idle_s)
    return starts, found


def _whole(log: Path, began: int) -> Phases:
    """The phases up to the line that says ready, which comes a moment after it is."""
    deadline = time.monotonic() + _READY_LINE_S
    while True:
        found = phases(log.read_text()[began:])
        if (found and found[-1][1] == "ready") or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def phases(log: str) -> Phases:
    """The lines of a start until it is ready, with the seconds since it began."""
    found = []
    for seconds, text in _PHASE.findall(log):
        found.append((float(seconds), text))
        if text == "ready":
            break
    return found


def _look(stack: Stack, idle_s: float) -> dict[str, Measurement]:
    """Program → its processes' memory and CPU, the largest first."""
    before = {one.pid: _cpu_s(one.pid) for one in _processes(stack)}
    began = time.monotonic()
    time.sleep(idle_s)
    seconds = time.monotonic() - began
    memory: Counter[str] = Counter()
    cpu: Counter[str] = Counter()
    for one in _processes(stack):
        try:
            pss = psutil.Process(one.pid).memory_full_info().pss
        except psutil.Error:
            continue  # it ended meanwhile
        for name in ("all processes", one.title):
            memory[name] += pss
            cpu[name] += int((_cpu_s(one.pid) - before.get(one.pid, 0.0)) * 1e6)
    return {
        name: {"pss_mib": pss / 2**20, "idle_cpu_ms_per_s": cpu[name] / 1000 / seconds}
        for name, pss in memory.most_common(_SHOWN)
    }


def _processes(stack: Stack) -> list[marker.Marked]:
    marked = marker.find(stack.stack_id)
    known = {one.pid for one in marked}
    up = marker.Marked(pid=stack.pid, parent=0, argv=("cluster.up",))
    return marked if stack.pid in known else [up, *marked]


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


if __name__ == "__main__":
    raise SystemExit(main("footprint", __doc__, run))
