"""The Redis tail loses everything, again and again, and is whole again each time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from actors.errors import DependencyUnavailable
from actors.settings import RouterSettings
from actors.storage import streams
from actors.storage.frontier import Frontier
from actors.storage.log import BEGINNING, LogReader
from actors.storage.streams import LiveTail, WakeUp, connect
from cluster.process import free_ports
from cluster.services import ValkeyServer
from tests.fixtures.router import stored_event, until
from tests.fixtures.services import run_now, service_folder
from tests.integration.router.conftest import Ground

pytestmark = pytest.mark.integration

NUMBERS = RouterSettings(stream_retry_s=0.05, stream_timeout_s=1.0, read_batch=50)


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with service_folder() as folder:
        server = ValkeyServer(
            folder / "valkey", port=free_ports(1)[0], password="of-tests", environment={}
        )
        server.prepare()
        run_now(server.start(timeout_s=30))
        yield server
        server.stop()


@pytest.fixture
async def client(server: ValkeyServer) -> AsyncIterator["Redis"]:
    client = connect(server.url, NUMBERS)
    yield client
    await client.aclose()


@asynccontextmanager
async def shown(
    ground: Ground, server: ValkeyServer, numbers: RouterSettings = NUMBERS
) -> AsyncIterator[LiveTail]:
    """The log, followed by a tail."""
    tail = LiveTail(server.url, numbers, partial(streams.recent, ground.across))
    frontier = Frontier.at(await LogReader(ground.across).end())

    async def follow() -> None:
        nonlocal frontier
        while True:
            (page,) = await LogReader(ground.across).advance([frontier], 100)
            frontier = page.frontier
            tail.offer(page.events)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(tail.run()), asyncio.create_task(follow())]
    try:
        yield tail
    finally:
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)


async def entries(client: "Redis") -> list[str]:
    with contextlib.suppress(RedisError):  # the server has died under this connection
        await client.ping()
    found: list[Any] = await client.xrange(NUMBERS.stream_key) or []
    return [fields["position"] for _, fields in found]


async def in_log(ground: Ground) -> list[str]:
    events = await LogReader(ground.across).read(BEGINNING, 1000)
    return [str(event.position) for event in events]


async def until_whole(ground: Ground, client: "Redis") -> None:
    async with asyncio.timeout(20):
        while not await is_whole(ground, client):  # noqa: ASYNC110  # Redis tells nobody
            await asyncio.sleep(0.05)


async def is_whole(ground: Ground, client: "Redis") -> bool:
    return set(await entries(client)) == set(await in_log(ground))


async def test_wiped_under_load_it_is_filled_again_from_the_log(
    ground: Ground, server: ValkeyServer, client: "Redis"
) -> None:
    async with shown(ground, server):
        for version in range(120):
            await ground.publish("inc_1", version)
            if version % 30 == 29:
                await client.flushall()
        await until_whole(ground, client)

        assert len(await in_log(ground)) == 120


async def test_wiped_while_nothing_happens_it_is_filled_again(
    ground: Ground, server: ValkeyServer, client: "Redis"
) -> None:
    async with shown(ground, server):
        for version in range(10):
            await ground.publish("inc_1", version)
        await until_whole(ground, client)

        await client.flushall()

        await until_whole(ground, client)


async def test_what_happened_while_redis_was_away_is_added_when_it_is_back(
    ground: Ground, server: ValkeyServer, client: "Redis"
) -> None:
    async with shown(ground, server):
        await ground.publish("inc_1", 0)
        await until_whole(ground, client)

        server.stop()
        for version in range(1, 5):
            await ground.publish("inc_1", version)
        await asyncio.sleep(0.2)
        await server.start(timeout_s=30)
        await until_whole(ground, client)
        seen = await entries(client)

    assert seen == await in_log(ground)


async def test_a_router_that_begins_adds_only_what_is_missing(
    ground: Ground, server: ValkeyServer, client: "Redis"
) -> None:
    await ground.publish("inc_1", 0)
    async with shown(ground, server):
        await until_whole(ground, client)
    await ground.publish("inc_1", 1)

    async with shown(ground, server):
        await until_whole(ground, client)
        await asyncio.sleep(0.1)
        seen = await entries(client)

    assert seen == await in_log(ground)


async def test_a_refill_is_bounded_and_wakes_who_waits(
    ground: Ground, server: ValkeyServer, client: "Redis"
) -> None:
    for version in range(40):
        await ground.publish("inc_1", version)
    short = NUMBERS.model_copy(update={"stream_max_length": 20})
    wake_up = WakeUp(server.url, NUMBERS)
    waiting = asyncio.create_task(wake_up.wait(20))
    await asyncio.sleep(0.1)

    tail = LiveTail(server.url, short, partial(streams.recent, ground.across))
    showing = asyncio.create_task(tail.run())
    woken = await waiting
    await until(lambda: tail.appended == 20)
    seen = await entries(client)
    showing.cancel()
    await wake_up.close()

    assert woken
    assert seen == (await in_log(ground))[-20:]


async def test_without_the_database_new_entries_are_shown_all_the_same(
    server: ValkeyServer, client: "Redis"
) -> None:
    async def away(_: int) -> list[streams.Line]:
        raise DependencyUnavailable("postgres")

    tail = LiveTail(server.url, NUMBERS, away)
    showing = asyncio.create_task(tail.run())

    tail.offer([stored_event(1)])
    await until(lambda: tail.appended == 1)
    showing.cancel()

    assert len(await entries(client)) == 1
