"""Redis Streams as sinks, on a real Valkey that is stopped, killed and wiped."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from actors.bus.messages import StreamSink
from actors.storage.streams import connect
from cluster.process import free_ports
from cluster.services import ValkeyServer
from tests.fixtures.services import run_now, service_folder
from tests.integration.router.conftest import Ground
from tests.integration.router.subscribed import (
    NUMBERS,
    SubscribedGuild,
    settings_for,
    subscribed,
)

pytestmark = pytest.mark.integration


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
async def guild(ground: Ground, server: ValkeyServer) -> AsyncIterator[SubscribedGuild]:
    async with subscribed(ground, settings_for(ground, server.url)) as guild:
        yield guild


@pytest.fixture
async def client(server: ValkeyServer) -> AsyncIterator["Redis"]:
    client = connect(server.url, NUMBERS)
    yield client
    await client.aclose()


async def entries(client: "Redis", guild: SubscribedGuild) -> list[dict[str, str]]:
    with contextlib.suppress(RedisError):  # the server has died under this connection
        await client.ping()
    found: list[Any] = await client.xrange(f"guild:{guild.guild}:orders") or []
    return [fields for _, fields in found]


async def test_an_entry_says_what_a_reader_needs_and_holds_the_whole_event(
    guild: SubscribedGuild, client: "Redis"
) -> None:
    await guild.subscribe(StreamSink(stream="orders"))

    await guild.publish("1", subject="order/1")
    await guild.publish("2")
    await guild.until_caught_up()

    first, second = await entries(client, guild)
    event = json.loads(first.pop("event"))
    assert first == {
        "id": "1",
        "type": "custom.order.placed",
        "source": "/shop",
        "subject": "order/1",
        "position": event["position"],
    }
    assert (event["specversion"], event["id"], event["data"]) == ("1.0", "1", {"total": 3})
    assert (second["id"], second["subject"]) == ("2", "")


async def test_entries_stand_in_the_order_of_the_log_and_the_stream_stays_short(
    guild: SubscribedGuild, client: "Redis"
) -> None:
    await guild.subscribe(StreamSink(stream="orders", max_length=100))

    for begin in range(0, 1000, 50):
        await guild.publish(*(str(begin + n) for n in range(50)))
    await guild.until_caught_up()

    ids = [int(entry["id"]) for entry in await entries(client, guild)]
    assert ids == list(range(1000 - len(ids), 1000))
    assert 100 <= len(ids) < 400


async def test_valkey_may_stop_and_start_again_and_nothing_is_missing(
    guild: SubscribedGuild, client: "Redis", server: ValkeyServer
) -> None:
    await guild.subscribe(StreamSink(stream="orders"))

    async def publish() -> None:
        for number in range(200):
            await guild.publish(str(number))
            await asyncio.sleep(0.005)

    publishing = asyncio.create_task(publish())
    for _ in range(3):
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(0.2)
        await server.start(timeout_s=30)
    await publishing
    await guild.until_caught_up()

    ids = [int(entry["id"]) for entry in await entries(client, guild)]
    assert list(dict.fromkeys(ids)) == list(range(200))
    assert await guild.dead_letters() == ()


async def test_without_redis_events_wait_and_none_is_given_up(
    guild: SubscribedGuild, client: "Redis", server: ValkeyServer
) -> None:
    await guild.subscribe(StreamSink(stream="orders"))
    await asyncio.to_thread(server.stop)

    for number in range(30):
        await guild.publish(str(number), source=f"/shop/{number}")
    await asyncio.sleep(1.5)
    behind = (await guild.state()).progress.lag
    await server.start(timeout_s=30)
    await guild.until_caught_up()

    assert behind == 30
    assert {entry["id"] for entry in await entries(client, guild)} == {str(n) for n in range(30)}
    assert await guild.dead_letters() == ()


async def test_a_guild_writes_to_streams_of_its_own_alone(
    guild: SubscribedGuild, client: "Redis"
) -> None:
    await guild.subscribe(StreamSink(stream="orders"), "one")
    await guild.subscribe(StreamSink(stream="copies"), "two")
    await guild.publish("1")
    await guild.until_caught_up("one")
    await guild.until_caught_up("two")

    keys = await client.keys("*")

    assert sorted(map(str, keys)) == [f"guild:{guild.guild}:copies", f"guild:{guild.guild}:orders"]
