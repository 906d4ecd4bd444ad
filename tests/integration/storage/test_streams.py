import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from actors import clock
from actors.settings import RouterSettings
from actors.storage.streams import LiveTail, WakeUp, connect
from cluster.process import free_ports
from cluster.services import ValkeyServer
from tests.fixtures.router import stored_event, until
from tests.fixtures.services import RunningValkey, run_now, service_folder

pytestmark = pytest.mark.integration


@pytest.fixture
def numbers() -> RouterSettings:
    return RouterSettings(
        stream_key=f"tests:{clock.new_id('key')}", stream_retry_s=0.05, stream_timeout_s=5.0
    )


@pytest.fixture
async def client(valkey: RunningValkey, numbers: RouterSettings) -> AsyncIterator["Redis"]:
    client = connect(valkey.url, numbers)
    yield client
    await client.delete(numbers.stream_key)
    await client.aclose()


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    with service_folder() as folder:
        server = ValkeyServer(
            folder / "valkey", port=free_ports(1)[0], password="of-tests", environment={}
        )
        server.prepare()
        run_now(server.start(timeout_s=30))
        yield server
        server.stop()


async def test_what_is_offered_appears_in_order_and_the_stream_stays_short(
    valkey: RunningValkey, numbers: RouterSettings, client: "Redis"
) -> None:
    short = numbers.model_copy(update={"stream_max_length": 100})
    tail = LiveTail(valkey.url, short)
    showing = asyncio.create_task(tail.run())

    for start in range(1, 1001, 50):
        tail.offer([stored_event(seq) for seq in range(start, start + 50)])
        await _appended(tail, start + 49)
    entries: list[Any] = await client.xrange(numbers.stream_key) or []
    showing.cancel()

    assert entries[-1][1] == {
        "id": "evt_1000",
        "type": "sage.incident.acknowledged",
        "guild": stored_event(1).guild_id,
        "aggregate": "inc_1",
        "position": "1-10-1000",
    }
    ids = [int(fields["id"][4:]) for _, fields in entries]
    assert ids == sorted(ids)
    assert 100 <= len(ids) < 400


async def test_a_new_entry_wakes_the_consumer_and_nothing_is_missed_between_waits(
    valkey: RunningValkey, numbers: RouterSettings, client: "Redis"
) -> None:
    wake_up = WakeUp(valkey.url, numbers)

    await wake_up.wait(0.01)  # from here on it knows what is there
    first = asyncio.create_task(wake_up.wait(10))
    await asyncio.sleep(0.05)
    await client.xadd(numbers.stream_key, {"id": "evt_1"})
    woken = await asyncio.wait_for(first, 9)
    await client.xadd(numbers.stream_key, {"id": "evt_2"})
    between = await wake_up.wait(10)
    started = time.monotonic()
    nothing_new = await wake_up.wait(0.1)
    waited_s = time.monotonic() - started
    await wake_up.close()

    assert (woken, between, nothing_new) == (True, True, False)
    assert 0.09 <= waited_s < 4


async def test_without_redis_the_consumer_just_waits(numbers: RouterSettings) -> None:
    for url in ("", "redis://127.0.0.1:9/0"):
        wake_up = WakeUp(url, numbers)
        started = time.monotonic()

        woken = [await wake_up.wait(0.1) for _ in range(2)]
        waited_s = time.monotonic() - started
        await wake_up.close()

        assert woken == [False, False]
        assert 0.19 <= waited_s < 4


async def test_a_wiped_redis_wakes_again(
    valkey: RunningValkey, numbers: RouterSettings, client: "Redis"
) -> None:
    wake_up = WakeUp(valkey.url, numbers)
    await client.xadd(numbers.stream_key, {"id": "evt_1"})
    await wake_up.wait(0.01)
    await client.delete(numbers.stream_key)

    waiting = asyncio.create_task(wake_up.wait(10))
    await asyncio.sleep(0.05)
    await client.xadd(numbers.stream_key, {"id": "evt_2"})

    assert await asyncio.wait_for(waiting, 9)
    await wake_up.close()


async def test_both_ends_survive_a_redis_that_dies_and_comes_back(
    own_valkey: ValkeyServer, numbers: RouterSettings
) -> None:
    server = own_valkey
    tail, wake_up = LiveTail(server.url, numbers), WakeUp(server.url, numbers)
    showing = asyncio.create_task(tail.run())
    tail.offer([stored_event(1)])
    await until(lambda: tail.appended == 1)

    server.stop()
    tail.offer([stored_event(2)])  # lost, and nobody waits for it
    await wake_up.wait(0.1)
    await server.start(timeout_s=30)
    woken = asyncio.create_task(_until_woken(wake_up))
    # Offered until it is seen: whoever looks for the first time takes what is there as known.
    await until(lambda: _offered_again(tail, woken))

    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)
    await wake_up.close()


async def _appended(tail: LiveTail, count: int) -> None:
    await until(lambda: tail.appended == count)


def _offered_again(tail: LiveTail, woken: "asyncio.Task[None]") -> bool:
    tail.offer([stored_event(3)])
    return woken.done()


async def _until_woken(wake_up: WakeUp) -> None:
    while not await wake_up.wait(0.2):
        pass
