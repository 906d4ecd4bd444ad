"""What the router that leads tells, and how many series that may be."""

import asyncio
from datetime import timedelta

import pytest

from actors import metrics
from actors.bus.messages import PullSink, WebhookSink
from actors.router import numbers
from actors.router.routing import BUILT_IN, Stretch, Subscription, meaning_of
from actors.runtime.message import Position
from actors.storage.usage import Holdings, RedisUsage, ServerUsage
from tests.fixtures.router import (
    GUILD,
    NOON,
    QUICK,
    MemoryRouterStore,
    ScriptedPool,
    running,
    stored_event,
    until,
)

BEGINNING = Position(0, 0)
ADDRESS = WebhookSink(url="https://there.example/events")


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"elders_guild_{name}", labels)


async def waiting(event: asyncio.Event) -> None:
    await event.wait()


def declared(name: str, **fields: object) -> Subscription:
    given = {"sink": ADDRESS, "types": ("custom.*",), "declared_as": name} | fields
    return Subscription(f"{name}@1", "", guild_id=GUILD, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subscription", "series"),
    [
        (BUILT_IN[0], BUILT_IN[0].name),
        (meaning_of(GUILD, BEGINNING), meaning_of(GUILD, BEGINNING).name.partition(":")[0]),
        (declared("sub_1"), "declared.webhook"),
        (declared("sub_2", sink=PullSink()), "declared.pull"),
        (declared("sub_3", replays=Stretch(BEGINNING, 0)), "declared.webhook"),
    ],
)
def test_what_guilds_declare_begins_no_series(subscription: Subscription, series: str) -> None:
    assert subscription.series == series


async def test_the_lag_of_a_series_is_that_of_its_slowest_and_a_few_are_named() -> None:
    several = [declared(f"sub_{number}", types=("sage.*",)) for number in range(5)]
    store = MemoryRouterStore(log=[stored_event(1)], declarations=several)
    never = asyncio.Event()
    pool = ScriptedPool(lambda _: waiting(never))
    settings = QUICK.model_copy(update={"lags_shown": 2})

    later = NOON + timedelta(seconds=5)
    async with running(store, {"": pool}, numbers=settings, now=lambda: later) as relay:
        await until(lambda: len(pool.arrived) == len(several))
        relay.observe()

    named = [
        sample.labels["subscription"]
        for family in metrics.SLOWEST_SECONDS.collect()
        for sample in family.samples
    ]
    assert len(named) == 2
    assert value("outbox_lag_seconds", subscription="declared.webhook") == 5


def test_a_server_is_told_as_it_was_seen() -> None:
    numbers.tell_server(ServerUsage(30, 120, 5_000, {"one": 2.5}))
    numbers.tell_server(ServerUsage(60, 120, 6_000, {"two": 0.5}))

    assert value("connection_usage_percent") == 50
    assert value("database_size_bytes") == 6_000
    assert value("replication_lag_seconds", standby="two") == 0.5
    assert value("replication_lag_seconds", standby="one") is None


def test_of_a_redis_that_is_away_nothing_else_is_told() -> None:
    numbers.tell_redis(RedisUsage(10, 100))
    used = value("redis_memory_bytes")
    numbers.tell_redis(None)

    told = {one.name for one in metrics.samples()}
    assert used == 10
    assert value("redis_up") == 0
    assert "elders_guild_redis_memory_bytes" not in told


def test_who_no_longer_leads_tells_nothing() -> None:
    numbers.tell_holdings(Holdings(5, {"pending": 2}, {"high": 1}, 0))
    numbers.forget()

    told = {one.name for one in metrics.samples()}
    assert not {"elders_guild_knowledge_entities_total", "elders_guild_tasks_by_status"} & told
