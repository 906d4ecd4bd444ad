"""`python -m benchmarks.faults events|availability`: a stack of its own, killed at, judged."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from benchmarks import faults as package
from benchmarks.faults import availability
from benchmarks.faults import report as events_report
from benchmarks.faults import run as events_run
from benchmarks.faults.availability import report as availability_report
from benchmarks.faults.availability import rows
from benchmarks.faults.plan import MEMBER, PARTS, TARGETS, parts, strikes
from benchmarks.frame import Options, Report, document, end_cleanly, headline, machine, render
from benchmarks.local_stack import started
from cluster.state import Stack

_WIDTH = 200

Say = Callable[[str], None]
Played = tuple[Report, dict[str, Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Plays one run; 1 when anything was lost, doubled or out of order, or a goal is unmet."""
    options = _parser().parse_args(argv)
    end_cleanly()
    before, say = machine(), _clock()
    folder = _folder()
    say(f"starting a stack in {folder}")
    found, more = options.play(options, folder, say)
    met = all(goal.met for goal in found.goals)
    if met:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"what it left is in {folder}")
    if options.json is not None:
        written = document(f"faults-{options.what}", found, Options(json=options.json), before)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(orjson.dumps(written | more, option=orjson.OPT_INDENT_2) + b"\n")
    print(headline(before))
    render(found, Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH))
    return int(not met)


def _play_events(options: argparse.Namespace, folder: Path, say: Say) -> Played:
    async def over(stack: Stack) -> events_run.Outcome:
        workload = await events_run.new_workload(
            stack, options.seed, handled=True, over_http=options.over_http
        )
        plan = strikes(options.seed, options.kills, options.targets)
        return await events_run.play(
            stack, workload, plan, folder, seconds=options.seconds, say=say
        )

    with started(folder / "data", ["--pools", "benchmarks.faults.pools"]) as stack:
        say("the stack is up")
        outcome = asyncio.run(over(stack))
    return events_report.report(outcome, options.kills), events_report.details(outcome)


def _play_availability(options: argparse.Namespace, folder: Path, say: Say) -> Played:
    targets = parts(options.seed, options.targets)
    outcome = asyncio.run(rows.play(folder / "data", targets, options.rate, say))
    return availability_report.report(outcome), availability_report.details(outcome)


def _folder() -> Path:
    """A short one, for sockets, that the account PostgreSQL runs as can enter."""
    folder = Path(tempfile.mkdtemp(prefix="guild-faults-"))
    folder.chmod(0o711)
    return folder


def _clock() -> Say:
    began = time.monotonic()
    return lambda text: print(f"[{time.monotonic() - began:5.1f} s] {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "example:\n  python -m benchmarks.faults events --seed 7 --kills 30 --json faults.json"
            "\n\nThe same seed hits the same targets in the same order; moments differ a little."
        ),
    )
    whose = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    events = whose.add_parser("events", help="what becomes of events, judged by their history")
    events.set_defaults(play=_play_events)
    events.add_argument("--kills", type=int, default=30, metavar="N", help="faults in all (30)")
    events.add_argument(
        "--seconds", type=float, default=1_200.0, help="no fault begins later (1200)"
    )
    events.add_argument(
        "--over-http",
        type=int,
        default=0,
        choices=range(5),
        metavar="N",
        help="of the 4 writers, so many publish through the gateway (0)",
    )
    _add_common(events, (*TARGETS, MEMBER))
    asked = whose.add_parser("availability", help=availability.__doc__)
    asked.set_defaults(play=_play_availability)
    asked.add_argument("--rate", type=float, default=50.0, help="requests a second (50)")
    _add_common(asked, PARTS)
    return parser


def _add_common(parser: argparse.ArgumentParser, targets: Sequence[str]) -> None:
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the plan (1)")
    parser.add_argument(
        "--targets",
        nargs="+",
        choices=targets,
        default=targets,
        metavar="TARGET",
        help=f"hit only these ({', '.join(targets)})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole result here")


if __name__ == "__main__":
    raise SystemExit(main())
