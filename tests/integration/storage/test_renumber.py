"""A dump of one server, restored into another: refused, renumbered, and nothing is skipped."""

import asyncio
import subprocess
from collections.abc import Iterator

import asyncpg
import pytest

from actors.bus.domain.subscriptions import MATCHED
from actors.carried import carry, original
from actors.errors import PositionOfAnotherEpoch
from actors.events import StoredEvent, SubscriptionMatched
from actors.runtime.message import GuildId, Position
from actors.storage import log_state, system_events
from actors.storage.cursors import Cursors
from actors.storage.database import Database
from actors.storage.frontier import Frontier
from actors.storage.leaders import Leaders
from actors.storage.log import BEGINNING, LogReader
from actors.storage.log_state import LogMoved
from actors.storage.migrate import MigrationError, migrate
from actors.storage.renumber import NotNow, renumber
from actors.storage.system_events import SystemEvent
from cluster.binaries import find_postgres
from cluster.bootstrap import DatabaseUrls, Passwords, bootstrap
from cluster.services import PostgresServer
from tests.fixtures.services import PreparedDatabase, started_server
from tests.fixtures.storage import SETTINGS, append, new_guild, opened

pytestmark = pytest.mark.integration

_BEFORE, _AFTER = 5_000, 5_000
_PASSWORDS = Passwords(owner="owner-of-tests", app="app-of-tests", log="log-of-tests")


@pytest.fixture
def another_server() -> Iterator[PostgresServer]:
    with started_server() as server:
        yield server


async def test_a_restored_log_is_refused_then_renumbered_and_read_without_a_gap(
    fresh_database: PreparedDatabase, another_server: PostgresServer
) -> None:
    guild = await new_guild(fresh_database)
    async with opened(fresh_database.app_url, connections=4) as app:
        await _write(app, guild, "before", _BEFORE)
    async with opened(fresh_database.log_url) as across:
        (carried_event,) = await LogReader(across).read(BEGINNING, 1)
    async with opened(fresh_database.app_url) as app, app.transaction(guild) as tx:
        await system_events.append(tx, [_carrying(carried_event)])
    async with opened(fresh_database.log_url) as across:
        half = await _read(LogReader(across), Frontier.at(BEGINNING), most=_BEFORE // 2)
        lease = await Leaders(across).acquire("router", "test")
        assert lease is not None
        await Cursors(across).save(lease, {"half": half.frontier.settled})
    restored = await _move(fresh_database, another_server)

    with pytest.raises(LogMoved, match=r"cluster\.renumber"):
        await Database.open(restored.app, SETTINGS)
    with pytest.raises(MigrationError, match="restored from another server"):
        await migrate(restored.owner)
    done = await renumber(restored.owner)

    assert (done.epoch, done.events) == (2, _BEFORE + 1)
    async with (
        opened(restored.app, connections=4) as app,
        opened(restored.log) as across,
    ):
        await _write(app, guild, "after", _AFTER)
        cursor = (await Cursors(across).load(["half"]))["half"]
        behind = await _read(LogReader(across), Frontier.at(cursor))
        with pytest.raises(PositionOfAnotherEpoch):
            log_state.checked(half.frontier.settled, across.epoch)
        read = await LogReader(across).read(BEGINNING, _BEFORE + 1)

    everything = [*half.ids, *behind.ids]
    assert len(everything) == len(set(everything)) == _BEFORE + 1 + _AFTER
    assert cursor.epoch == across.epoch == 2
    assert [original(event) for event in read if event.type == MATCHED] == [
        event for event in read if event.event_id == carried_event.event_id
    ]
    with pytest.raises(NotNow, match="nothing to do"):
        await renumber(restored.owner)


def _carrying(event: StoredEvent) -> SystemEvent:
    return SystemEvent(
        guild_id=event.guild_id,
        aggregate_id=f"match:{event.aggregate_id}",
        payload=SubscriptionMatched(
            event_id=event.event_id, event_type=event.type, matches=(), event=carry(event)
        ),
        correlation_id=event.correlation_id,
    )


class _Read:
    def __init__(self, frontier: Frontier) -> None:
        self.frontier = frontier
        self.ids: list[str] = []


async def _read(reader: LogReader, begin: Frontier, most: int | None = None) -> _Read:
    read = _Read(begin)
    while most is None or len(read.ids) < most:
        (page,) = await reader.advance([read.frontier], 500)
        read.ids += [event.event_id for event in page.events]
        read.frontier = page.frontier
        if not page.full:
            break
    return read


async def _write(app: Database, guild: GuildId, name: str, count: int) -> None:
    async def write(worker: int) -> None:
        for number in range(count // 4):
            async with app.transaction(guild) as tx:
                await append(tx, guild, f"inc_{name}_{worker}_{number}")

    await asyncio.gather(*(write(worker) for worker in range(4)))


async def _move(source: PreparedDatabase, server: PostgresServer) -> DatabaseUrls:
    made = await bootstrap(server.admin_url, _PASSWORDS, database="restored")
    programs, dump = find_postgres(), server.folder.parent / "guild.dump"
    target = server.admin_url.rpartition("/")[0] + "/restored"
    for command in (
        [programs / "pg_dump", "--format=custom", f"--file={dump}", source.admin_url],
        [programs / "pg_restore", "--exit-on-error", "--no-comments", f"--dbname={target}", dump],
    ):
        await asyncio.to_thread(_run, [str(part) for part in command])
    return made


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=120)


async def test_nobody_may_be_connected_meanwhile(
    fresh_database: PreparedDatabase,
) -> None:
    admin = await asyncpg.connect(fresh_database.admin_url)
    await admin.execute("UPDATE log_state SET system_identifier = 1")
    guest = await asyncpg.connect(fresh_database.log_url)

    with pytest.raises(NotNow, match="1 connections"):
        await renumber(fresh_database.owner_url)
    await guest.close()
    await admin.close()


async def test_a_log_that_was_recovered_on_its_own_server_begins_a_new_epoch_when_told(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    async with opened(fresh_database.app_url) as app:
        await _write(app, guild, "before", 40)

    with pytest.raises(NotNow, match="nothing to do"):
        await renumber(fresh_database.owner_url)
    done = await renumber(fresh_database.owner_url, recovered=True)

    assert (done.epoch, done.events) == (2, 40)


def test_a_position_says_which_log_it_is_of() -> None:
    position = Position(7, 9, 3)

    assert str(position) == "3-7-9"
    assert Position.parse("3-7-9") == position
    assert log_state.checked(position, 3) == position
