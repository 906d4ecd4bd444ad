"""`python -m benchmarks.faults events`: a stack of its own, killed at, judged."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks import faults as package
from benchmarks.faults.plan import MEMBER, TARGETS, strikes
from benchmarks.faults.report import details, report
from benchmarks.faults.run import Outcome, new_workload, play
from benchmarks.frame import Options, document, headline, machine, render
from benchmarks.local_stack import started
from cluster.state import Stack

_WIDTH = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Plays one run; 1 when anything was lost, doubled or out of order, or a goal is unmet."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and end the stack
    before, say = machine(), _clock()
    folder = _folder()
    say(f"starting a stack in {folder}")
    with started(folder / "data", ["--pools", "benchmarks.faults.pools"]) as stack:
        say("the stack is up")
        outcome = asyncio.run(_play(stack, options, folder, say))
    if outcome.sound:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"what it left is in {folder}")
    found = report(outcome, options.kills)
    if options.json is not None:
        written = document("faults-events", found, Options(json=options.json), before)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(
            orjson.dumps(written | details(outcome), option=orjson.OPT_INDENT_2) + b"\n"
        )
    print(headline(before))
    render(found, Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH))
    return int(not all(goal.met for goal in found.goals))


async def _play(
    stack: Stack, options: argparse.Namespace, folder: Path, say: Callable[[str], None]
) -> Outcome:
    workload = await new_workload(stack, options.seed, handled=True, over_http=options.over_http)
    plan = strikes(options.seed, options.kills, options.targets)
    return await play(stack, workload, plan, folder, seconds=options.seconds, say=say)


def _folder() -> Path:
    """A short one, for sockets, that the account PostgreSQL runs as can enter."""
    folder = Path(tempfile.mkdtemp(prefix="guild-faults-"))
    folder.chmod(0o711)
    return folder


def _clock() -> Callable[[str], None]:
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
    parser.add_argument("what", choices=["events"], help="whose promises are tested")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the plan (1)")
    parser.add_argument("--kills", type=int, default=30, metavar="N", help="faults in all (30)")
    parser.add_argument(
        "--seconds", type=float, default=1_200.0, help="no fault begins later (1200)"
    )
    parser.add_argument(
        "--targets",
        nargs="+",
        choices=(*TARGETS, MEMBER),
        default=(*TARGETS, MEMBER),
        metavar="TARGET",
        help=f"hit only these ({', '.join((*TARGETS, MEMBER))})",
    )
    parser.add_argument(
        "--over-http",
        type=int,
        default=0,
        choices=range(5),
        metavar="N",
        help="of the 4 writers, so many publish through the gateway (0)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole result here")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
