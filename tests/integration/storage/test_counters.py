"""Counters that all processes see, on a real Valkey."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from actors import clock
from actors.errors import DependencyUnavailable
from actors.runtime.message import Caller, GuildId
from actors.settings import RateSettings
from actors.storage.counters import RedisCounters
from cluster.process import free_ports
from serve_app.limiter import Limiter
from tests.fixtures.services import RunningValkey

pytestmark = pytest.mark.integration

SETTINGS = RateSettings(principal=200, guild=10_000, window_s=3_600, timeout_s=2)


@pytest.fixture
def prefix() -> str:
    return f"tests:{clock.new_id('key')}:"


@pytest.fixture
async def counters(valkey: RunningValkey, prefix: str) -> AsyncIterator[RedisCounters]:
    counters = RedisCounters(valkey.url, prefix=prefix, timeout_s=2, connections=2)
    yield counters
    await counters.close()


@pytest.fixture
async def raw(valkey: RunningValkey) -> AsyncIterator["Redis"]:
    client: Redis = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


async def test_a_counter_counts_and_ends_by_itself(
    counters: RedisCounters, raw: "Redis", prefix: str
) -> None:
    assert [await counters.add("one", 3, 100), await counters.add("one", 4, 1_000)] == [3, 7]

    assert 0 < await raw.ttl(f"{prefix}one") <= 100


async def test_more_at_once_than_there_are_connections_wait_for_one(
    counters: RedisCounters,
) -> None:
    values = await asyncio.gather(*(counters.add("one", 1, 100) for _ in range(50)))

    assert sorted(values) == list(range(1, 51))


async def test_replicas_share_one_quota_and_no_key_stays(
    valkey: RunningValkey, raw: "Redis", prefix: str
) -> None:
    replicas = [
        RedisCounters(valkey.url, prefix=prefix, timeout_s=2, connections=2) for _ in range(3)
    ]
    limiters = [Limiter(SETTINGS, one) for one in replicas]
    caller = Caller(guild_id=GuildId("guild_a"), principal_id="user_a")

    verdicts = await asyncio.gather(*(limiters[n % 3].admit(caller) for n in range(600)))

    assert sum(not verdict.refused_by for verdict in verdicts) == 200
    keys = [key async for key in raw.scan_iter(f"{prefix}*")]
    assert keys
    assert all([await raw.ttl(key) > 0 for key in keys])
    for one in replicas:
        await one.close()


async def test_without_redis_a_replica_goes_on_with_its_part() -> None:
    nowhere = f"redis://127.0.0.1:{free_ports(1)[0]}"
    counters = RedisCounters(nowhere, prefix="tests:", timeout_s=0.2, connections=2)
    limiter = Limiter(SETTINGS, counters)
    caller = Caller(guild_id=GuildId("guild_a"), principal_id="user_a")

    with pytest.raises(DependencyUnavailable):
        await counters.add("one", 1, 1)
    verdicts = [await limiter.admit(caller) for _ in range(200)]

    assert sum(not verdict.refused_by for verdict in verdicts) == 50
    await counters.close()
