"""A folder's files in, what is gone out: one run of an ingestion."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from actors.documents.box import Box
from actors.documents.formats import format_of
from actors.documents.parsed import Limits
from actors.settings import GuildSettings, JobSettings
from cluster.api import Api
from cluster.jobs.journal import Entry, Journal
from cluster.jobs.progress import Standing, shown
from cluster.jobs.reading import Reader, Said
from cluster.jobs.report import Report
from cluster.jobs.sender import Sender, delete_all
from cluster.jobs.waiting import until_searchable
from cluster.jobs.walk import Found, Globs, counted, walk

_PRUNE_PAGE = 200


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

    ended = threading.Event()

    async def count() -> None:
        nonlocal total
        with contextlib.suppress(OSError):
            total = await asyncio.to_thread(counted, plan.files(numbers), ended)

    def standing() -> Standing:
        return Standing(done=report.settled, total=total, text=report.counts())

    with Journal(numbers.state_dir / "ingest", *scope) as journal:
        report.notes.extend(journal.notes)
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
            ended.set()  # a thread does not end by being cancelled, and the process waits for it
            counting.cancel()
        if plan.prune:
            await _prune(plan, api, journal, report, numbers)
        if plan.wait and not plan.dry_run:
            await until_searchable(api, sender.position, numbers, console)
    if report.emptied and not plan.prune:
        report.notes.append(
            f"{report.emptied} files are empty now and their documents stay: --prune deletes them"
        )
    if report.unread_folders:
        report.notes.append(f"{report.unread_folders} folders were not read to their end")
    report.complete = not report.unread_folders


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
    """Deletes the documents whose file is not there any more, or was found to be empty.

    One that is left out by a glob is there.
    """
    if report.seen == 0 and len(journal):
        report.notes.append("nothing was pruned: the folder is empty, is it mounted?")
        return
    gone: list[Entry] = []
    for entry in journal.entries():
        file = plan.root / plan.said.relative(entry.external_id)
        if not (journal.is_empty(entry) or _is_gone(file)):
            continue
        if plan.dry_run:
            report.pruned += 1
            continue
        gone.append(entry)
        if len(gone) == _PRUNE_PAGE:
            await delete_all(api, journal, gone, report, numbers)
            gone.clear()
    await delete_all(api, journal, gone, report, numbers)


def _is_gone(path: Path) -> bool:
    """Whether there is surely no such file: one that cannot be reached may well be there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
