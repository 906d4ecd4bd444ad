"""`python -m cluster.jobs.ingest PATH`, also as `guild ingest PATH`: files into a guild."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from actors.settings import GuildSettings, settings
from cluster.api import ApiProblem
from cluster.jobs.access import open_api
from cluster.jobs.ingesting import Plan, ingest
from cluster.jobs.reading import Said
from cluster.jobs.report import Report
from cluster.jobs.telling import tell
from cluster.jobs.walk import Globs
from cluster.problem import StackProblem

app = typer.Typer(help="Files into a guild.")


@app.command("ingest")
def ingest_command(
    path: Annotated[Path, typer.Argument(help="a folder, or one file")],
    prefix: Annotated[str, typer.Option(help="put before each file's name, with a slash")] = "",
    kind: Annotated[str | None, typer.Option(help="of every document, such as runbook")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    access_level: Annotated[
        Literal["public", "protected"] | None, typer.Option(help="protected: not for guests")
    ] = None,
    include: Annotated[list[str] | None, typer.Option(help="glob; only such files")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="glob; no such file or folder")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="delete what has no file now")] = False,
    again: Annotated[bool, typer.Option("--again", help="send also what is confirmed")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="until all of it is searchable")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="read all, send nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the report, on standard output")] = False,
) -> None:
    """Brings Markdown, HTML, text, PDF and Word files into a guild, and keeps them in step.

    A file's document is named by its path below PATH. Files that have not changed are not sent
    again; a run that was killed goes on where it was. Hidden files and symbolic links are skipped.
    Ends with 0 when all is well, 1 when some files failed, 2 when the run could not be finished.

    Example: guild ingest docs --prefix handbook --exclude drafts --prune --wait
    """
    plan = Plan(
        path=path.resolve() if path.is_dir() else path.parent.resolve() / path.name,
        said=Said(
            prefix=prefix.strip("/"),
            kind=kind,
            tags=tuple(tag or ()),
            access_level=access_level,
        ),
        globs=Globs.of(include or (), exclude or ()),
        prune=prune,
        again=again,
        dry_run=dry_run,
        wait=wait,
    )
    raise typer.Exit(run(plan, as_json=as_json))


def run(plan: Plan, *, as_json: bool) -> int:
    """0 when all is well, 1 when some files failed, 2 when the run could not be finished."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    config = settings()
    report = Report(errors_listed=config.jobs.errors_listed)
    began = time.monotonic()
    status = 0
    try:
        _check(plan)
        asyncio.run(_with_api(plan, config, report, console))
    except (StackProblem, ApiProblem, OSError) as problem:
        report.notes.append(str(problem))
        status = 2
    except KeyboardInterrupt:
        report.notes.append("stopped; the same command goes on from here")
        status = 130
    report.seconds = time.monotonic() - began
    _tell(report, console, dry_run=plan.dry_run)
    if as_json:
        json.dump(report.as_json(), sys.stdout, indent=1)
        print()
    return status or (1 if report.failed else 0)


async def _with_api(plan: Plan, config: GuildSettings, report: Report, console: Console) -> None:
    async with open_api(config) as api:
        await ingest(plan, config, api, report, console)


def _check(plan: Plan) -> None:
    if not plan.path.exists():
        raise StackProblem(f"there is no {plan.path}")
    if plan.prune and not plan.path.is_dir():
        raise StackProblem("--prune is for folders")
    if any(part in {".", ".."} for part in plan.said.prefix.split("/")):
        raise StackProblem("a prefix has no . or .. in it")


def _tell(report: Report, console: Console, *, dry_run: bool) -> None:
    for name, reason in report.errors:
        tell(console, f"{name}: {reason}", "red")
    if report.failed > len(report.errors):
        tell(console, f"… and {report.failed - len(report.errors)} more", "red")
    for note in report.notes:
        tell(console, note, "yellow")
    begin = "would be: " if dry_run else ""
    tell(console, f"{begin}{report.counts()}, in {report.seconds:.1f} s")


if __name__ == "__main__":
    app()
