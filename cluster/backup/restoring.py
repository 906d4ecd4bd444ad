"""A backup into an empty database, and the proof that nothing of it is missing or changed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from rich.console import Console

from actors.settings import JobSettings
from actors.storage import census
from actors.storage.migrate import shipped
from actors.storage.renumber import NotNow, renumber
from cluster.backup.administered import administered
from cluster.backup.manifest import DATA, Damaged, Manifest, damage, differences, listed
from cluster.backup.places import place_of
from cluster.backup.programs import run_program
from cluster.binaries import find_postgres_client
from cluster.jobs.progress import Standing, shown
from cluster.problem import StackProblem

_MIB = 1 << 20
_SIZE_EVERY_S = 1.0
_SIZE = "SELECT pg_database_size(current_database())"


async def whole(folder: Path, numbers: JobSettings, console: Console) -> Manifest:
    """The manifest of a backup whose files are as they were written.

    Raises:
        Damaged: they are not.
        StackProblem: it is of a newer version of ours.
    """
    manifest = Manifest.load(folder)
    unknown = set(manifest.migrations) - {migration.name for migration in shipped()}
    if unknown:
        raise StackProblem(
            f"{folder} has migration {max(unknown)}, which this version does not know: use the"
            " version that made it, or a newer one"
        )

    def standing() -> Standing:
        return Standing(done=0, total=None, text=f"{len(manifest.files)} files")

    async with shown(console, "checking files", standing, every_s=numbers.progress_every_s):
        problems = await asyncio.to_thread(damage, manifest, folder)
    if problems:
        raise Damaged(f"{folder} is damaged: {listed(problems)}")
    return manifest


async def load(
    manifest: Manifest,
    folder: Path,
    url: str,
    numbers: JobSettings,
    console: Console,
    *,
    processes: int = 1,
) -> None:
    """Fills an empty database and compares it with the manifest.

    Args:
        manifest: from `whole`.
        folder: the backup.
        url: an administrator's, of a database that `cluster.bootstrap` has prepared.
        numbers: the bounds.
        console: of standard error, for the progress.
        processes: with one, all of it is a single transaction: what is stopped leaves the database
            empty. With more it is faster, and what is stopped leaves a part.

    Raises:
        Damaged: what is there now is not what was saved.
        StackProblem: the database is not empty or not prepared, or PostgreSQL refused.
    """
    async with administered(url, numbers) as connection:
        await _require_empty(connection, url)
        major = max(connection.get_server_version().major, manifest.postgresql)
        program = find_postgres_client("pg_restore", major)
        with TemporaryDirectory(prefix="guild-restore-") as logs:
            async with _growing(connection, manifest, numbers, console):
                await run_program(
                    program,
                    "--exit-on-error",
                    "--no-comments",
                    "--no-password",
                    *_manner(processes),
                    str(folder / DATA),
                    url=url,
                    log=Path(logs) / "program.log",
                    timeout_s=numbers.backup_within_s,
                )
    await compare(manifest, url, numbers, console)


async def compare(manifest: Manifest, url: str, numbers: JobSettings, console: Console) -> None:
    """Compares a database with a manifest: log position, rows and checksum of every table.

    Raises:
        Damaged: they differ; says where.
    """
    done, total = 0, len(manifest.tables)

    def counted(now: int, of: int) -> None:
        nonlocal done, total
        done, total = now, of

    async with (
        administered(url, numbers) as connection,
        census.held(connection) as snapshot,
        shown(
            console,
            "comparing tables",
            lambda: Standing(done=done, total=total),
            every_s=numbers.progress_every_s,
        ),
    ):
        found = differences(manifest, await snapshot.state(), await snapshot.tables(counted))
    if found:
        raise Damaged(f"{place_of(url)} is not what was saved: {listed(found)}")


async def put_in_order(url: str, numbers: JobSettings) -> int:
    """Begins a new epoch of the log, and lets the server plan anew; the epoch.

    Also where the log comes back to its own server: what clients and snapshots of the index know
    from behind the backup is in no log any more.

    Raises:
        StackProblem: somebody works on the database already, or its schema is too old for it.
    """
    try:
        done = await renumber(url, timeout_s=numbers.backup_within_s, recovered=True)
    except (NotNow, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as reason:
        said = str(reason) or "it took too long"
        raise StackProblem(
            f"all is restored and no new epoch of the log begun: {said}. Before anything"
            " else connects, run `python -m cluster.migrate`, then"
            " `python -m cluster.renumber --recovered`"
        ) from reason
    async with administered(url, numbers) as connection:
        await connection.execute("ANALYZE")
    return done.epoch


async def _require_empty(connection: census.Connection, url: str) -> None:
    if not await census.is_prepared(connection):
        raise StackProblem(f"{place_of(url)} is not prepared: run `python -m cluster.bootstrap`")
    if there := await census.objects(connection):
        raise StackProblem(
            f"{place_of(url)} is not empty, it has {len(there)} tables and the like, such as"
            f" {there[0]}: restore into a new database"
        )


def _manner(processes: int) -> list[str]:
    return ["--single-transaction"] if processes == 1 else [f"--jobs={processes}"]


@asynccontextmanager
async def _growing(
    connection: census.Connection, manifest: Manifest, numbers: JobSettings, console: Console
) -> AsyncIterator[None]:
    """Shows how large the database has become."""
    size = 0

    async def look() -> None:
        nonlocal size
        while True:
            size = await connection.fetchval(_SIZE)
            await asyncio.sleep(_SIZE_EVERY_S)

    def standing() -> Standing:
        total = manifest.database_bytes // _MIB
        return Standing(done=min(size // _MIB, total), total=total, text="MiB")

    looking = asyncio.create_task(look())
    try:
        async with shown(console, "restoring", standing, every_s=numbers.progress_every_s):
            yield
    finally:
        looking.cancel()
        with contextlib.suppress(
            asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError
        ):
            await looking
