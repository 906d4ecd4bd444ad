"""One backup: a dump and what it holds, both of one moment, while everybody goes on writing."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from actors.settings import JobSettings
from actors.storage import census
from cluster.backup.administered import administered
from cluster.backup.manifest import DATA, MANIFEST, Manifest, described, files_of
from cluster.backup.places import place_of
from cluster.backup.programs import run_program
from cluster.binaries import find_postgres_client, major_of
from cluster.jobs.progress import Standing, shown
from cluster.problem import StackProblem

_LOG = "program.log"
_LOCK_WAIT_MS = 60_000
_MIB = 1 << 20


async def dump(url: str, folder: Path, numbers: JobSettings, console: Console) -> Manifest:
    """Takes a backup. It has its name only when it is whole; a run that was killed begins anew.

    Args:
        url: an administrator's, of the guild's database.
        folder: of the backup; must not exist. What is in it is as secret as the database.
        numbers: the bounds.
        console: of standard error, for the progress.

    Raises:
        StackProblem: there is something already, the role does not see everything, or it failed.
    """
    with _partial(folder) as partial:
        async with administered(url, numbers) as connection:
            if "public.log_state" not in await census.objects(connection):
                raise StackProblem(f"{place_of(url)} holds no guild")
            program = find_postgres_client("pg_dump", connection.get_server_version().major)
            async with census.held(connection) as snapshot:
                made_at = datetime.now(UTC)
                state = await snapshot.state()
                counted = await _both(snapshot, program, url, partial, numbers, console)
        (partial / _LOG).unlink()
        manifest = Manifest.of(
            made_at=made_at,
            postgresql=major_of(program),
            state=state,
            tables=counted,
            files=await asyncio.to_thread(described, partial),
        )
        manifest.save(partial)
        _sync(partial)
        partial.rename(folder)
        _sync(folder.parent)
    return manifest


async def _both(
    snapshot: census.Snapshot,
    program: Path,
    url: str,
    partial: Path,
    numbers: JobSettings,
    console: Console,
) -> "dict[str, census.TableState]":
    """Dumps and counts at the same time."""
    done, total = 0, None

    def counted(now: int, of: int) -> None:
        nonlocal done, total
        done, total = now, of

    def standing() -> Standing:
        text = f"tables counted, {_written(partial) // _MIB} MiB written"
        return Standing(done=done, total=total, text=text)

    dumping = run_program(
        program,
        "--format=directory",
        f"--file={partial / DATA}",
        f"--jobs={numbers.backup_processes}",
        f"--snapshot={snapshot.exported}",
        f"--lock-wait-timeout={_LOCK_WAIT_MS}",
        "--no-comments",  # that of the extension belongs to who made it
        "--no-password",
        url=url,
        log=partial / _LOG,
        timeout_s=numbers.backup_within_s,
    )
    work = [asyncio.create_task(dumping), asyncio.create_task(snapshot.tables(counted))]
    try:
        async with shown(console, "backup", standing, every_s=numbers.progress_every_s):
            _, tables = await asyncio.gather(*work)
    finally:
        for one in work:
            one.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    assert tables is not None  # noqa: S101  # the second one's
    return dict(tables)


def _written(partial: Path) -> int:
    try:
        return sum(path.stat().st_size for path in files_of(partial).values())
    except OSError:  # it is being written
        return 0


@contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """An empty folder beside the backup's place, ours alone; gone again unless it was renamed."""
    if folder.exists():
        raise StackProblem(f"{folder} is there already: name another, or remove it")
    place = folder.with_name(f".{folder.name}.partial")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackProblem(f"another backup writes to {folder}") from None
        _emptied(place)
        try:
            yield place
        finally:
            if place.exists():
                shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(lock)


def _emptied(place: Path) -> None:
    strange = {entry.name for entry in place.iterdir()} - {DATA, MANIFEST, _LOG}
    if strange:
        raise StackProblem(f"{place} holds {min(strange)}, which no backup left: remove it")
    shutil.rmtree(place / DATA, ignore_errors=True)
    for name in (MANIFEST, _LOG):
        (place / name).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
