"""`python -m cluster.jobs.ingest PATH`, also as `guild ingest PATH`: files into a guild."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from actors.documents.box import Box
from actors.documents.formats import format_of
from actors.documents.parsed import Limits
from actors.settings import GuildSettings, JobSettings, settings
from cluster.api import Api, ApiProblem
from cluster.jobs.access import open_api
from cluster.jobs.journal import Entry, Journal
from cluster.jobs.progress import Standing, shown
from cluster.jobs.reading import Reader, Said
from cluster.jobs.report import Report
from cluster.jobs.sender import Sender, delete_all
from cluster.jobs.waiting import until_searchable
from cluster.jobs.walk import Found, Globs, walk
from cluster.problem import StackProblem

_PRUNE_PAGE = 200
app = typer.Typer(help="Files into a guild.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be ingested, and how."""

    path: Path
    said: Said
    globs: Globs
    prune: bool = False
    again: bool = False
    dry_run: bool = False
    wait: bool = False

    @property
    def root(self) -> Path:
        """What names are relative to: the folder, or the one file's folder."""
        return self.path if self.path.is_dir() else self.path.parent

    def files(self, numbers: JobSettings) -> Iterator[Found]:
        """Every file, one at a time."""
        if self.path.is_dir():
            return walk(self.path, self.globs, max_depth=numbers.max_depth)
        if format_of(self.path) is None:
            problem = f"no parser reads {self.path.suffix or 'a name without an ending'}"
            return iter([Found(path=self.path, relative=self.path.name, problem=problem)])
        return iter([Found(path=self.path, relative=self.path.name)])


async def ingest(
    plan: Plan, config: GuildSettings, api: Api, report: Report, console: Console
) -> None:
    """Sends what is new, deletes what is gone where that is asked for, and says what became of it.

    A run may be killed at any time and started again: what the guild has confirmed is not sent
    twice, and what it had stored without our knowing stays as it is.

    Args:
        plan: what and how.
        config: the bounds.
        api: signed in, or able to.
        report: is filled, also where this raises.
        console: of standard error, for the progress.

    Raises:
        ApiProblem: the guild cannot be reached, or does not let us in.
        StackProblem: another run works on the same, or waiting took too long.
    """
    numbers = config.jobs
    scope = (await api.guild_id(), str(plan.root), plan.said.prefix)
    total: int | None = None

    async def count() -> None:
        nonlocal total
        with contextlib.suppress(OSError):
            total = await asyncio.to_thread(lambda: sum(1 for _ in plan.files(numbers)))

    def standing() -> Standing:
        return Standing(done=report.settled, total=total, text=report.counts())

    with Journal(numbers.state_dir / "ingest", *scope) as journal:
        sender = Sender(api, journal, report, numbers)
        counting = asyncio.create_task(count())
        try:
            async with (
                shown(console, "ingesting", standing, every_s=numbers.progress_every_s),
                _box(config) as box,
            ):
                found = plan.files(numbers)
                readers = [
                    Reader(found, box, journal, report, plan.said, numbers, again=plan.again)
                    for _ in range(numbers.parsers)
                ]
                if plan.dry_run:
                    await asyncio.gather(
                        *(_only_count(reader, journal, report) for reader in readers)
                    )
                else:
                    await sender.send_all([reader.documents() for reader in readers])
        finally:
            counting.cancel()
        if plan.prune:
            await _prune(plan, api, journal, report, numbers)
        if plan.wait and not plan.dry_run:
            await until_searchable(api, sender.position, numbers, console)
    report.complete = True


def _box(config: GuildSettings) -> Box:
    numbers = config.jobs
    return Box(
        Limits(
            max_chars=config.index.max_document_chars,
            max_unpacked_bytes=numbers.max_unpacked_bytes,
            max_parts=numbers.max_parts,
        ),
        processes=numbers.parsers,
        memory_bytes=numbers.parser_memory_bytes,
        timeout_s=numbers.parse_timeout_s,
        files_each=numbers.files_each_parser,
    )


async def _only_count(reader: Reader, journal: Journal, report: Report) -> None:
    async for prepared in reader.documents():
        report.sent_bytes += prepared.size
        if journal.get(prepared.body["external_id"]) is None:
            report.created += 1
        else:
            report.updated += 1


async def _prune(
    plan: Plan, api: Api, journal: Journal, report: Report, numbers: JobSettings
) -> None:
    """Deletes the documents whose file is not there any more; one left out by a glob is there."""
    if report.seen == 0 and len(journal):
        report.notes.append("nothing was pruned: the folder is empty, is it mounted?")
        return
    gone: list[Entry] = []
    for entry in journal.entries():
        if _is_gone(plan.root / plan.said.relative(entry.external_id)):
            gone.append(entry)
            report.pruned += 1
        if len(gone) == _PRUNE_PAGE:
            if not plan.dry_run:
                await delete_all(api, journal, gone, numbers)
            gone.clear()
    if not plan.dry_run:
        await delete_all(api, journal, gone, numbers)


def _is_gone(path: Path) -> bool:
    """Whether there is surely no such file: one that cannot be reached may well be there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


@app.command("ingest")
def ingest_command(
    path: Annotated[Path, typer.Argument(help="a folder, or one file")],
    prefix: Annotated[str, typer.Option(help="put before each file's name, with a slash")] = "",
    kind: Annotated[str | None, typer.Option(help="of every document, such as runbook")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
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
        said=Said(prefix=prefix.strip("/"), kind=kind, tags=tuple(tag or ())),
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
        json.dump(report.as_json(), sys.stdout, ensure_ascii=False, indent=1)
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
        console.print(f"{name}: {reason}", style="red", markup=False)
    if report.failed > len(report.errors):
        console.print(f"… and {report.failed - len(report.errors)} more", style="red")
    for note in report.notes:
        console.print(note, style="yellow", markup=False)
    begin = "would be: " if dry_run else ""
    console.print(f"{begin}{report.counts()}, in {report.seconds:.1f} s", markup=False)


if __name__ == "__main__":
    app()
