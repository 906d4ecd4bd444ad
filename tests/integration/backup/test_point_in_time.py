"""PostgreSQL's own archive, with the settings of docs/BACKUP.md: back to a moment, and on."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from actors.runtime.message import GuildId
from actors.storage.log import BEGINNING, LogReader
from actors.storage.migrate import migrate
from actors.storage.renumber import renumber
from benchmarks.local_stack import ROOT
from cluster.binaries import find_postgres
from cluster.bootstrap import DatabaseUrls, Passwords, bootstrap, urls
from cluster.process import free_ports
from cluster.services import PostgresServer
from tests.fixtures.services import service_folder
from tests.fixtures.storage import append, opened

pytestmark = [pytest.mark.integration, pytest.mark.long]

_PASSWORDS = Passwords(owner="owner-of-tests", app="app-of-tests", log="log-of-tests")
_GUILD = GuildId("guild_01k0000000000000000000000a")


def _settings(section: str, **values: str) -> str:
    """A block of the page, with its places filled in."""
    page = (ROOT / "docs" / "BACKUP.md").read_text()
    block = page.partition(f"<!-- {section} -->\n\n```ini\n")[2].partition("```")[0]
    assert block
    for name, value in values.items():
        block = block.replace(name, value)
    return block


def _server(folder: Path) -> PostgresServer:
    return PostgresServer(
        folder, port=free_ports(1)[0], password="admin-of-tests", environment={}, durable=False
    )


@asynccontextmanager
async def _running(server: PostgresServer, settings: str) -> AsyncIterator[DatabaseUrls]:
    server.prepare()
    with (server.data / "postgresql.conf").open("a") as stream:
        stream.write(settings)
    await server.start(timeout_s=60)
    try:
        yield urls(server.admin_url, "guild", _PASSWORDS)
    finally:
        server.stop()


async def _write(reached: DatabaseUrls, name: str) -> None:
    async with opened(reached.app) as app:
        for number in range(10):
            async with app.transaction(_GUILD) as tx:
                await append(tx, _GUILD, f"inc_{name}_{number}")


async def _read(reached: DatabaseUrls) -> list[str]:
    async with opened(reached.log) as across:
        return [one.aggregate_id for one in await LogReader(across).read(BEGINNING, 1_000)]


async def _archived(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    segment = await admin.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
    for _ in range(300):
        if (
            await admin.fetchval("SELECT last_archived_wal FROM pg_stat_archiver") or ""
        ) >= segment:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{segment} is not archived")


async def test_a_server_goes_back_to_a_moment_and_its_log_begins_a_new_epoch_there() -> None:
    with service_folder() as folder:
        archive = folder / "archive"
        archive.mkdir()
        archive.chmod(0o777)
        one, two = _server(folder / "one"), _server(folder / "two")
        archiving = _settings("archive", ARCHIVE=str(archive))
        async with _running(one, archiving) as reached:
            await bootstrap(one.admin_url, _PASSWORDS)
            await migrate(reached.owner)
            admin = await asyncpg.connect(one.admin_url.rpartition("/")[0] + "/guild")
            await admin.execute("INSERT INTO guilds (guild_id, name) VALUES ($1, 'g')", _GUILD)
            await _write(reached, "before")
            await asyncio.to_thread(_base_backup, one.admin_url, two.data)
            await _write(reached, "between")
            moment = await admin.fetchval("SELECT clock_timestamp()::text")
            await _write(reached, "mistake")
            await _archived(admin)
            await admin.close()

        (two.data / "recovery.signal").touch()
        recovering = _settings("recover", ARCHIVE=str(archive), MOMENT=moment)
        async with _running(two, recovering) as reached:
            await _until_promoted(two.admin_url)
            done = await renumber(reached.owner, recovered=True)
            recovered = await _read(reached)
            await _write(reached, "after")
            at_last = await _read(reached)

    names = [f"inc_{name}_{number}" for name in ("before", "between") for number in range(10)]
    assert (done.epoch, done.events) == (2, 20)
    assert recovered == names
    assert at_last == [*names, *(f"inc_after_{number}" for number in range(10))]


def _base_backup(admin_url: str, data: Path) -> None:
    data.parent.mkdir(mode=0o700)
    subprocess.run(
        [
            find_postgres() / "pg_basebackup",
            f"--dbname={admin_url}",
            f"--pgdata={data}",
            "--checkpoint=fast",
            "--wal-method=stream",
        ],
        check=True,
        timeout=120,
    )


async def _until_promoted(admin_url: str) -> None:
    admin = await asyncpg.connect(admin_url)
    for _ in range(300):
        if not await admin.fetchval("SELECT pg_is_in_recovery()"):
            break
        await asyncio.sleep(0.1)
    await admin.close()
