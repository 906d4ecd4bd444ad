"""`guild job …`: the jobs of `cluster.jobs`, run by the cluster and followed from here."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from actors.settings import settings
from cluster.api import Json
from cluster.jobs.cluster import Jobs, Known
from cluster.jobs.telling import printable, tell
from cluster.problem import StackProblem

app = typer.Typer(
    help="Jobs on the cluster: submitted by Ray's job API, followed, listed, stopped.\n\n"
    "Paths that a job is given are those of the node it runs on, the head's.\n\n"
    "Example: guild job ingest /srv/docs --prefix handbook",
    no_args_is_help=True,
)

ABOUT = {
    "ingest": "files into a guild",
    "evaluate": "how well a search finds what is right",
    "reembed": "guilds to another embedding model",
    "backup": "a copy of the database",
    "restore": "a backup into an empty database",
    "rebuild-index": "the index anew from the database",
    "replay": "a stretch of the log once more, for one subscription",
    "load-test": "rates and latencies under a mixed load",
}
"""Name of the command and of the module, `_` for `-`; what it is about."""

_T = TypeVar("_T")
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_JobId = Annotated[str, typer.Argument(help="as `guild job list` shows it")]


def _submitting(name: str) -> Callable[..., None]:
    def command(
        ctx: typer.Context,
        detach: Annotated[
            bool, typer.Option("--detach", help="print the job's id and do not follow it")
        ] = False,
        no_task: Annotated[
            bool, typer.Option("--no-task", help="show it as no task of the guild")
        ] = False,
    ) -> None:
        raise typer.Exit(_run(name, ctx.args, detach=detach, as_task=not no_task))

    command.__doc__ = f"""Submits a job: {ABOUT[name]}.

    Its arguments are those of `guild {name}`, which tells them with --help. Follows it and ends
    with its code; Ctrl-C ends the following, not the job.
    """
    return command


for _name in ABOUT:
    app.command(_name, context_settings=_PASS_ON)(_submitting(_name))


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="in place of the table")] = False,
) -> None:
    """Shows the guild's jobs that Ray still knows, the newest first.

    Example: guild job list
    """
    jobs = _or_exit(lambda: Jobs.of(settings()).all())
    if as_json:
        json.dump([_as_json(one) for one in jobs], sys.stdout, indent=1)
        print()
        return
    table = Table("job", "name", "status", "started", "code", box=None)
    for one in jobs:
        started = one.started_at.isoformat(timespec="seconds") if one.started_at else ""
        code = "" if one.code is None else str(one.code)
        table.add_row(
            *(printable(text) for text in (one.job_id, one.name, one.status, started, code))
        )
    Console(highlight=False).print(table)


@app.command("status")
def status_command(job_id: _JobId) -> None:
    """Prints how a job stands, as JSON. Ends with 0 while it runs, and with its code afterwards.

    Example: guild job status ingest_01k…
    """
    known = _or_exit(lambda: Jobs.of(settings()).get(job_id))
    json.dump(_as_json(known), sys.stdout, indent=1)
    print()
    raise typer.Exit(known.exit_code if known.ended else 0)


@app.command("logs")
def logs_command(
    job_id: _JobId,
    follow: Annotated[bool, typer.Option("--follow", help="until it has ended")] = False,
) -> None:
    """Prints what a job has printed; with --follow ends with its code.

    Example: guild job logs ingest_01k… --follow
    """
    jobs = _or_exit(lambda: Jobs.of(settings()))
    if follow:
        raise typer.Exit(_follow(jobs, job_id))
    _show(_or_exit(lambda: jobs.logs(job_id)))


@app.command("stop")
def stop_command(job_id: _JobId) -> None:
    """Ends a job and waits until it has ended. Most go on from there when they are run again.

    Example: guild job stop ingest_01k…
    """
    jobs = _or_exit(lambda: Jobs.of(settings()))
    _or_exit(lambda: jobs.stop(job_id))
    within_s = settings().jobs.stopped_within_s
    known = _or_exit(lambda: asyncio.run(jobs.until_ended(job_id, timeout_s=within_s)))
    typer.echo(f"{known.job_id} {known.status}")


def _run(name: str, arguments: list[str], *, detach: bool, as_task: bool) -> int:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    module = f"cluster.jobs.{name.replace('-', '_')}"
    own = ["python", "-m", module, *arguments]
    wrapped = ["python", "-m", "cluster.jobs.as_task", name, *own] if as_task else own
    jobs = _or_exit(lambda: Jobs.of(settings()))
    job_id = _or_exit(lambda: jobs.submit(name, wrapped))
    if detach:
        typer.echo(job_id)
        return 0
    tell(console, f"submitted as {job_id}")
    return _follow(jobs, job_id)


def _follow(jobs: Jobs, job_id: str) -> int:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        known = asyncio.run(jobs.follow(job_id, _show))
    except KeyboardInterrupt:
        tell(console, f"it goes on: guild job logs {job_id} --follow, guild job stop {job_id}")
        return 130
    except StackProblem as problem:
        tell(console, str(problem), "red")
        return 2
    if known.exit_code:
        tell(console, f"{job_id} {known.status} with {known.exit_code}: {known.message}", "red")
    return known.exit_code


def _show(text: str) -> None:
    """Line by line, and nothing that a terminal would obey."""
    for part in text.splitlines(keepends=True):
        line = part.rstrip("\r\n")
        sys.stdout.write(printable(line) + ("\n" if line != part else ""))
    sys.stdout.flush()


def _or_exit(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except StackProblem as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None


def _as_json(known: Known) -> Json:
    return {
        "job_id": known.job_id,
        "name": known.name,
        "status": known.status,
        "code": known.code,
        "command": known.command,
        "message": known.message,
        "started_at": known.started_at.isoformat() if known.started_at else None,
        "ended_at": known.ended_at.isoformat() if known.ended_at else None,
    }
