"""Taken while others write, restored elsewhere: equal, in order, and the guild works on it."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from actors.runtime.message import GuildId, Position
from actors.storage import audit_log, sealing
from actors.storage.log import BEGINNING, LogReader
from cluster.backup.dumping import dump
from cluster.backup.restoring import load, put_in_order, whole
from cluster.services import PostgresServer
from tests.fixtures.backups import NUMBERS, QUIET, Saved, Target, empty_database, fill
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import append, new_vault, opened

pytestmark = pytest.mark.integration

_WRITERS, _MOST_WRITES = 4, 2_000
_BEFORE, _AFTER, _WITHIN_S = 50, 10, 120.0
_READ = 100_000


class _Load:
    """Writers that go on until they are told to stop, or have written enough."""

    def __init__(self, database: PreparedDatabase, guild: GuildId) -> None:
        self._database = database
        self._guild = guild
        self._enough = asyncio.Event()
        self.written = 0

    async def run(self) -> None:
        async with opened(self._database.app_url, connections=_WRITERS) as app:

            async def write(worker: int) -> None:
                for number in range(_MOST_WRITES):
                    if self._enough.is_set():
                        return
                    async with app.transaction(self._guild) as tx:
                        await append(tx, self._guild, f"inc_load_{worker}_{number}")
                    self.written += 1

            await asyncio.gather(*(write(worker) for worker in range(_WRITERS)))

    async def reached(self, count: int) -> None:
        """Waits until so many are written, or all that will be."""
        async with asyncio.timeout(_WITHIN_S):
            while self.written < min(count, _WRITERS * _MOST_WRITES):  # noqa: ASYNC110  # a count
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._enough.set()


async def _ids(log_url: str, upto: Position | None = None) -> list[str]:
    async with opened(log_url) as across:
        read = await LogReader(across).read(BEGINNING, _READ)
    return [one.event_id for one in read if upto is None or one.position <= upto]


async def test_a_backup_under_load_restores_to_the_same_log_counts_and_checksums(
    fresh_database: PreparedDatabase, target: Target, tmp_path: Path
) -> None:
    guild, folder = await fill(fresh_database), tmp_path / "backup"
    load_on_it = _Load(fresh_database, guild)
    writing = asyncio.create_task(load_on_it.run())
    await load_on_it.reached(_BEFORE)
    before = load_on_it.written

    manifest = await dump(fresh_database.admin_url, folder, NUMBERS, QUIET)
    meanwhile = load_on_it.written - before
    await load_on_it.reached(load_on_it.written + _AFTER)
    load_on_it.stop()
    await writing
    # `load` compares position, rows and checksums, and raises where they differ.
    await load(await whole(folder, NUMBERS, QUIET), folder, target.admin_url, NUMBERS, QUIET)
    epoch = await put_in_order(target.admin_url, NUMBERS)

    assert meanwhile > 0
    assert 100 + before <= manifest.events < 100 + load_on_it.written
    assert manifest.position is not None
    source = await _ids(fresh_database.log_url, Position.parse(manifest.position))
    restored = await _ids(target.urls.log)
    assert epoch == 2
    assert len(restored) == manifest.events
    kept = set(restored)
    assert restored == [one for one in source if one in kept]

    # The guild works on it: what is sealed is read, the chain is whole, new events come behind.
    async with opened(target.urls.app, vault=new_vault()) as app:
        await audit_log.verify(app, guild, 1_000, None)
        async with app.transaction(guild) as tx:
            held = await sealing.hold(tx, guild, ["ada@example.test"])
            await append(tx, guild, "inc_after")
    assert held["ada@example.test"].key is not None
    assert (await _ids(target.urls.log))[:-1] == restored


async def test_a_backup_does_not_hold_the_horizon_of_the_log(
    fresh_database: PreparedDatabase, tmp_path: Path
) -> None:
    await fill(fresh_database)
    backup = asyncio.create_task(
        dump(fresh_database.admin_url, tmp_path / "backup", NUMBERS, QUIET)
    )
    observer = await asyncpg.connect(fresh_database.admin_url)

    open_at_all = 0
    while not backup.done():
        open_at_all += await observer.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_xid IS NOT NULL"
            " AND backend_type = 'client backend'"
        )
        await asyncio.sleep(0.01)

    await observer.close()
    assert (await backup).events == 100
    assert open_at_all == 0


async def test_a_log_that_comes_back_to_its_own_server_begins_a_new_epoch_there_too(
    saved: Saved, target: Target, another_server: PostgresServer, tmp_path: Path
) -> None:
    await load(saved.manifest, saved.folder, target.admin_url, NUMBERS, QUIET)
    first = await put_in_order(target.admin_url, NUMBERS)
    folder, again = tmp_path / "backup", await empty_database(another_server)

    manifest = await dump(target.admin_url, folder, NUMBERS, QUIET)
    await load(manifest, folder, again.admin_url, NUMBERS, QUIET)
    second = await put_in_order(again.admin_url, NUMBERS)

    assert (first, manifest.epoch, second) == (2, 2, 3)
    assert await _ids(again.urls.log) == await _ids(target.urls.log)
