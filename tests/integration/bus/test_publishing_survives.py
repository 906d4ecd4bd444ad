"""X3: what was acknowledged is there, whoever dies; and publishing comes back by itself."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.sage.publishing import PublishingSage
from actors.errors import DependencyUnavailable, ElderGuildError, Overloaded
from actors.runtime.local import LocalPool
from actors.settings import BusSettings, DatabaseSettings
from actors.storage.database import Database
from actors.storage.migrate import migrate
from cluster.bootstrap import DatabaseUrls, Passwords, bootstrap
from cluster.process import free_ports
from cluster.services import PostgresServer
from tests.fixtures.bus_builders import GUILD, new_event, publish
from tests.fixtures.services import run_now, service_folder

pytestmark = pytest.mark.integration

_TIMEOUT_S = 60.0
_AWAY_S = 5.0


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that may be killed; it waits for its disk, as in production."""
    with service_folder() as folder:
        server = PostgresServer(
            folder / "postgres", port=free_ports(1)[0], password="admin", environment={}
        )
        server.prepare()
        run_now(server.start(timeout_s=_TIMEOUT_S))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
async def urls(server: PostgresServer) -> DatabaseUrls:
    made = await bootstrap(server.admin_url, Passwords(owner="o", app="a", log="l"))
    await migrate(made.owner)
    owner = await asyncpg.connect(made.owner)
    await owner.execute("INSERT INTO guilds (guild_id, name) VALUES ($1, 'one')", GUILD)
    await owner.close()
    return made


@pytest.fixture
async def database(urls: DatabaseUrls) -> AsyncIterator[Database]:
    opened = await Database.open(urls.app, DatabaseSettings(command_timeout_s=3.0))
    yield opened
    await opened.close()


async def test_what_was_acknowledged_outlives_publisher_and_server(
    server: PostgresServer, urls: DatabaseUrls
) -> None:
    publisher = subprocess.Popen(  # noqa: ASYNC220  # a process to be killed
        [sys.executable, "-m", "tests.fixtures.bus_publisher", urls.app, "/killed"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert publisher.stderr is not None
    acknowledged = []
    try:
        for line in publisher.stderr:
            if line.startswith("acknowledged "):
                acknowledged.append(line.split()[1])
            if len(acknowledged) == 20:
                break
    finally:
        os.kill(publisher.pid, signal.SIGKILL)
        publisher.wait()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.start(timeout_s=_TIMEOUT_S)

    assert len(acknowledged) == 20
    assert await _lost(urls, acknowledged) == []


async def test_publishing_goes_on_by_itself_when_the_database_is_back(
    server: PostgresServer, urls: DatabaseUrls, database: Database
) -> None:
    settings = BusSettings(max_waiting_events=50)
    pool = LocalPool(PublishingSage(PostgresPublishingStore(database), settings).handlers())
    loop = asyncio.get_running_loop()
    acknowledged: list[str] = []
    refusals: list[ElderGuildError] = []
    slowest_s = 0.0

    async def publisher(number: int) -> None:
        nonlocal slowest_s
        for step in range(10_000):
            if back.is_set() and done[number] >= 10:
                return
            begun = loop.time()
            try:
                (published,) = await pool.ask(
                    publish(new_event(f"{number}/{step}")), timeout_s=_TIMEOUT_S
                )
            except (DependencyUnavailable, Overloaded) as error:
                refusals.append(error)
                await asyncio.sleep(0.05)
            else:
                acknowledged.append(published.event_id)
                done[number] += 1 if back.is_set() else 0
                await asyncio.sleep(0.01)
            slowest_s = max(slowest_s, loop.time() - begun)

    back, done = asyncio.Event(), dict.fromkeys(range(8), 0)
    publishers = [asyncio.create_task(publisher(number)) for number in done]
    async with asyncio.timeout(_TIMEOUT_S):
        while len(acknowledged) < 20:  # noqa: ASYNC110  # told to nobody
            await asyncio.sleep(0.01)
    await asyncio.to_thread(server.stop)  # its last checkpoint takes its time
    before = len(acknowledged)
    await asyncio.sleep(_AWAY_S)
    while_away = len(acknowledged) - before
    await server.start(timeout_s=_TIMEOUT_S)
    back.set()
    await asyncio.gather(*publishers)

    assert while_away <= len(done)  # those whose commit was under way when it stopped
    assert refusals
    assert slowest_s < 15
    assert await _lost(urls, acknowledged) == []


async def _lost(urls: DatabaseUrls, event_ids: list[str]) -> list[str]:
    connection = await asyncpg.connect(urls.app)
    try:
        await connection.execute(f"SET guild.id = '{GUILD}'")
        kept = await connection.fetch("SELECT event_id FROM events")
    finally:
        await connection.close()
    return sorted(set(event_ids) - {row["event_id"] for row in kept})
