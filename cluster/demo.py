"""`python -m cluster.demo`: an alert becomes knowledge, and the next such alert finds it."""

import argparse
import asyncio
import contextlib
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from actors.settings import settings
from cluster import runbooks
from cluster.api import Api, ApiProblem, with_client_credentials, with_password
from cluster.loop import LoopResult, Step, play_loop
from cluster.problem import StackProblem
from cluster.state import Login, Stack
from cluster.story import Story

TOP = 3
_POLL_S = 0.1


def main(arguments: list[str] | None = None) -> int:
    """0 when the loop closed as promised; 1 with one sentence otherwise."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        folder = (options.data_dir or settings().data_dir).resolve()
        with running_stack(folder, console, port=options.port) as stack:
            passed = asyncio.run(demonstrate(stack, console, twice=not options.once))
            if options.stay and passed:
                _stay(stack, console)
            return 0 if passed else 1
    except (StackProblem, ApiProblem) as problem:
        console.print(f"[red]{problem}[/red]")
        return 1
    except KeyboardInterrupt:
        return 0 if options.stay else 130


async def demonstrate(stack: Stack, console: Console, *, twice: bool) -> bool:
    """Ingests the runbooks, plays the loop, and judges what it sees."""
    admin, alertmanager = _login(stack.admin), _login(stack.alertmanager)
    deployment = f"demo-{secrets.token_hex(3)}"
    began = time.monotonic()
    async with (
        Api(stack.api_url, with_password(admin.name, admin.secret)) as person,
        Api(
            stack.api_url, with_client_credentials(alertmanager.name, alertmanager.secret)
        ) as intake,
    ):
        await _ingest(person, console)
        first = await _play(intake, person, console, _story(deployment, "gateway-a"))
        results = [first]
        if twice:
            results.append(await _play(intake, person, console, _story(deployment, "gateway-b")))
    console.print(f"\n[bold]{time.monotonic() - began:.1f} s[/bold] for all of it")
    return judge(results, console)


def judge(results: list[LoopResult], console: Console) -> bool:
    """Whether the loop has closed: correlated end to end, and the second dossier has learnt."""
    passed = True
    for number, result in enumerate(results, 1):
        if not result.correlated():
            console.print(f"[red]loop {number}: correlation ids differ[/red]")
            passed = False
    if len(results) == 2:
        place = results[1].rank_of(results[0].entity_id)
        good = place is not None and place <= TOP
        shown = f"at rank {place}" if place else "not at all"
        colour = "green" if good else "red"
        console.print(
            f"[{colour}]the second dossier shows the first review {shown}[/{colour}]"
            f" ({results[0].review_id} as {results[0].entity_id})"
        )
        passed = passed and good
    return passed


@contextmanager
def running_stack(folder: Path, console: Console, *, port: int | None = None) -> Iterator[Stack]:
    """The stack of a folder; one that does not run is started, and stopped in the end.

    Raises:
        StackProblem: it does not start.
    """
    stack = _ready(folder)
    if stack is not None:
        console.print(f"using the stack that runs at {stack.api_url}")
        yield stack
        return
    command = [sys.executable, "-m", "cluster.up", "--data-dir", str(folder)]
    if port is not None:
        command += ["--port", str(port)]
    # A session of its own: Ctrl-C reaches us first, and we stop it in order.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        yield _wait_until_ready(folder, child)
    finally:
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(settings().stack.stop_timeout_s * 4)


def _ready(folder: Path) -> Stack | None:
    stack = Stack.load(folder)
    return stack if stack is not None and stack.ready and stack.running else None


def _wait_until_ready(folder: Path, child: "subprocess.Popen[bytes]") -> Stack:
    deadline = time.monotonic() + settings().stack.start_timeout_s
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise StackProblem("the stack did not start; what it said stands above")
        stack = _ready(folder)
        if stack is not None and stack.pid == child.pid:
            return stack
        time.sleep(_POLL_S)
    raise StackProblem(f"the stack is not ready after {settings().stack.start_timeout_s:g} s")


async def _ingest(person: Api, console: Console) -> None:
    began = time.monotonic()
    stored = await runbooks.ingest(person)
    console.print(
        f"[dim]{_milliseconds(time.monotonic() - began)}[/dim]  {stored} runbooks are in the guild"
    )


async def _play(intake: Api, person: Api, console: Console, story: Story) -> LoopResult:
    console.rule(f"{story.instance} of {story.deployment}", align="left")

    async def show(step: Step) -> None:
        again = f" [yellow]({step.attempts} attempts)[/yellow]" if step.attempts > 1 else ""
        ids = " ".join(step.ids[:2]) + (" …" if len(step.ids) > 2 else "")
        console.print(
            f"[dim]{_milliseconds(step.seconds)}[/dim]  {step.text}{again} [cyan]{ids}[/cyan]"
        )

    result = await play_loop(intake, person, story, after=show)
    for place, line in enumerate(result.dossier["similar"][:TOP], 1):
        why = "; ".join(line["reasons"])
        console.print(
            f"{'':10}{place}. {line['title']} [cyan]{line['source_id']}[/cyan]"
            f" [dim]{line['score']:.2f} {why}[/dim]"
        )
    console.print(
        f"[bold]{result.seconds:.1f} s[/bold], {len(result.kinds)} events under"
        f" [cyan]{result.correlation_id}[/cyan]"
    )
    return result


def _story(deployment: str, instance: str) -> Story:
    return Story(
        deployment=deployment, instance=f"{instance}:8000", run_id=f"{deployment}-{instance}"
    )


def _stay(stack: Stack, console: Console) -> None:
    admin = _login(stack.admin)
    console.print(
        f"\n[bold]The guild stays up.[/bold] API {stack.api_url}/api/v1, documentation"
        f" {stack.api_url}/docs\nlogin [bold]{admin.name}[/bold], password"
        f" [bold]{admin.secret}[/bold]; Ctrl-C stops everything"
    )
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    while not stopped and stack.running:
        time.sleep(_POLL_S)


def _login(login: Login | None) -> Login:
    if login is None:
        raise StackProblem("this stack has no login of its own: it uses a server that you set up")
    return login


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:7.0f} ms"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.demo",
        description="Plays the main job twice over HTTP; starts the stack if none runs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m cluster.demo --once --data-dir /var/tmp/guild",
    )
    parser.add_argument("--once", action="store_true", help="play it once instead of twice")
    parser.add_argument("--stay", action="store_true", help="stay up afterwards, until Ctrl-C")
    parser.add_argument("--port", type=int, help="of the API, if the stack is started (8000)")
    parser.add_argument("--data-dir", type=Path, help="of the stack (.guild)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
