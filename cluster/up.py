"""`python -m cluster.up`: one command for everything, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
import uuid
from pathlib import Path

from cluster import listening
from cluster.credentials import Credentials
from cluster.plan import Plan
from cluster.ports import choose
from cluster.preflight import lock_folder, open_folder, read_settings, require_platform
from cluster.problem import StackProblem
from cluster.stack import LocalStack
from cluster.state import Stack

_SERVE_CONFIG = Path(__file__).resolve().parent.parent / "ray_config.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Starts the stack and stays up; 0 after Ctrl-C or SIGTERM, 1 with one sentence on trouble."""
    options = _parser().parse_args(arguments)
    say = _Clock()
    try:
        require_platform()
        settings = read_settings()
        folder = (options.data_dir or settings.data_dir).resolve()
        open_folder(folder)
        with lock_folder(folder):
            plan = Plan(
                stack_id=str(uuid.uuid4()),
                settings=settings,
                folder=folder,
                credentials=Credentials.load_or_make(folder),
                ports=choose(options.port or settings.stack.http_port, _remembered(folder)),
                serve_config=options.serve_config,
                pools=None if options.without_pools else options.pools,
            )
            return asyncio.run(_run(LocalStack(plan, say), say))
    except StackProblem as problem:
        print(problem, file=sys.stderr)
        return 1


async def _run(stack: LocalStack, say: "_Clock") -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    waiting = asyncio.create_task(stopping.wait())
    life = asyncio.create_task(_live(stack, say))
    try:
        await asyncio.wait((waiting, life), return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            await life  # only ever ends by a problem at the start
    finally:
        say("stopping")
        life.cancel()
        waiting.cancel()
        # Ending the processes also ends the threads that wait for them.
        left = stack.stop()
        with contextlib.suppress(asyncio.CancelledError, StackProblem):
            await life
        say(f"could not end {left}" if left else "everything has stopped")
    return 1 if left else 0


async def _live(stack: LocalStack, say: "_Clock") -> None:
    say(f"starting, logs in {stack.state.folder}/logs")
    await stack.start()
    say("ready\n" + describe(stack.state))
    await stack.keep_running()


def describe(stack: Stack) -> str:
    """What the operator needs to know about a running stack."""
    login = (
        f"{stack.admin.name} / {stack.admin.secret}" if stack.admin else "as set up on your server"
    )
    lines = [
        f"  API      {stack.api_url}/api/v1   documentation: {stack.api_url}/docs",
        f"  Login    {login}",
        f"  Ray      {stack.dashboard_url}   token and all addresses: {stack.folder}/stack.json",
        "  Beyond loopback (keep a firewall before these; Ray asks for its token):",
    ]
    open_doors = listening.describe(listening.beyond_loopback(stack.stack_id))
    lines += [f"    {door}" for door in open_doors or ["nothing"]]
    return "\n".join([*lines, "  Ctrl-C stops everything."])


class _Clock:
    """Prints a line with the seconds since the command was given."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:5.1f} s] {text}", flush=True)


def _remembered(folder: Path) -> dict[str, int]:
    try:
        earlier = Stack.load(folder)
    except (ValueError, TypeError):
        return {}
    return dict(earlier.ports) if earlier is not None else {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.up",
        description="Starts PostgreSQL, Valkey, Ray, the pools and the API, and keeps them up.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "example:\n  python -m cluster.up --port 8080 --data-dir /var/tmp/guild\n\n"
            "DATABASE_URL or REDIS_URL given: that server is used, and ours does not start.\n"
            "Every setting is a variable; see .env.example."
        ),
    )
    parser.add_argument("--port", type=int, help="of the API (8000)")
    parser.add_argument("--data-dir", type=Path, help="all data, logs and secrets (.guild)")
    parser.add_argument(
        "--serve-config", type=Path, default=_SERVE_CONFIG, help="another app (ray_config.yaml)"
    )
    parser.add_argument(
        "--pools",
        default="cluster.pools",
        metavar="MODULE",
        help="run to start other pools than ours (cluster.pools)",
    )
    parser.add_argument(
        "--without-pools", action="store_true", help="only what the Serve config names"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
