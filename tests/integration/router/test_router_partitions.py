"""Several routers share one log: each aggregate has one of them, whatever dies and changes."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from actors.router.actor import RouterActor
from actors.router.postgres import PostgresRouterStore
from actors.router.relay import Relay
from actors.router.routing import Subscription
from actors.router.share import Share
from actors.router.sinks.pool import PoolSink
from actors.runtime.message import Position
from actors.runtime.ray_cluster import router_names
from actors.settings import RouterSettings, settings
from actors.storage.cursors import Cursors
from actors.storage.layout import adopt, present
from actors.storage.leaders import Leaders
from tests.fixtures.storage import run_as_owner
from tests.integration.router.conftest import Ground

pytestmark = pytest.mark.integration

ALL = Subscription("task.all", "task", ("sage.*",))
NUMBERS = RouterSettings(
    poll_interval_s=0.02, backoff_s=(0.01,), cursor_save_s=0.02, window=100, read_batch=50
)


@asynccontextmanager
async def router(ground: Ground, index: int, parts: int) -> AsyncIterator[Relay]:
    """One of several; it is not stopped in the end, it just is no more."""
    lease = await Leaders(ground.across).acquire(router_names(parts)[index], "test")
    assert lease is not None
    await adopt(ground.across, lease, parts)
    share, pool = Share(index, parts), ground.pool()
    store = PostgresRouterStore(ground.across, lease, share)
    relay = Relay(
        store, lambda _: PoolSink(pool), NUMBERS, subscriptions=(ALL,), share=share, renew_s=0.05
    )
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def routers(ground: Ground, parts: int) -> AsyncIterator[list[Relay]]:
    async with AsyncExitStack() as stack:
        # The first one adopts the number, and fences out whoever leads under another.
        yield [
            await stack.enter_async_context(router(ground, index, parts)) for index in range(parts)
        ]


async def until_all_took_effect(ground: Ground, count: int) -> None:
    async with asyncio.timeout(120):
        while len(await ground.effects("task.all")) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def cursors(ground: Ground) -> list[str]:
    async with ground.across.across_guilds() as tx:
        rows = await tx.fetch("SELECT subscription FROM cursors ORDER BY subscription")
    return [row["subscription"] for row in rows]


async def test_routers_die_and_their_number_changes_and_nothing_is_lost_doubled_or_reordered(
    ground: Ground,
) -> None:
    rolls = Random(11)  # noqa: S311  # the same run each time
    versions = defaultdict[str, int](int)

    async def write(aggregates: list[str]) -> None:
        for _ in range(90):
            aggregate = rolls.choice(aggregates)
            await ground.publish(aggregate, versions[aggregate])
            versions[aggregate] += 1

    writers = asyncio.gather(*(write([f"inc_{w}_{n}" for n in range(6)]) for w in range(3)))
    for parts in (1, 3, 3, 1, 3, 1):
        async with routers(ground, parts):
            await asyncio.sleep(0.1 + rolls.random() * 0.2)
    while not writers.done():
        async with routers(ground, 3):
            await asyncio.sleep(0.3)
    async with routers(ground, 3):
        await until_all_took_effect(ground, sum(versions.values()))

    seen = defaultdict(list)
    for aggregate, version in await ground.effects("task.all"):
        seen[aggregate].append(version)
    assert dict(seen) == {name: list(range(1, last + 1)) for name, last in versions.items()}


async def test_each_part_keeps_a_cursor_and_a_new_number_begins_at_the_slowest(
    ground: Ground,
) -> None:
    for number in range(12):
        await ground.publish(f"inc_{number}", 0)
    async with routers(ground, 3) as running:
        await until_all_took_effect(ground, 12)
        for one in running:
            await one.flush()
    of_three = await cursors(ground)
    await run_as_owner(
        ground.prepared, "UPDATE cursors SET xid = '5', seq = 7 WHERE subscription = 'task.all#1/3'"
    )

    lease = await Leaders(ground.across).acquire("router", "test")
    assert lease is not None
    await adopt(ground.across, lease, 1)
    of_one = await Cursors(ground.across).load(["task.all"])

    assert of_three == ["task.all#0/3", "task.all#1/3", "task.all#2/3"]
    assert of_one == {"task.all": Position(5, 7)}


async def test_a_former_router_that_lives_on_does_not_bring_its_number_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUILD_LOG_DATABASE_URL", ground.prepared.log_url)
    monkeypatch.setenv("GUILD_RUNTIME__LEADER_LEASE_S", "0.3")
    monkeypatch.setenv("GUILD_RUNTIME__RESTART_BACKOFF_S", "0.05")
    monkeypatch.delenv("REDIS_URL", raising=False)
    settings.cache_clear()
    former = [started(ground, index, 3) for index in range(3)]
    await until_leading(former, [True, True, True])

    await former[0].stop()
    now = started(ground, 0, 1)
    await until_leading([now, *former[1:]], [True, False, False])
    await asyncio.sleep(1)  # the others would have had time to come back
    number = await present(ground.across)
    leading = [(await one.health()).leading for one in (now, former[1], former[2])]

    for one in (now, *former[1:]):
        await one.stop()
    settings.cache_clear()
    assert (number, leading) == (1, [True, False, False])


async def until_leading(actors: Sequence[RouterActor], wanted: list[bool]) -> None:
    async with asyncio.timeout(120):
        while [(await one.health()).leading for one in actors] != wanted:  # noqa: ASYNC110  # told to nobody
            await asyncio.sleep(0.02)


def started(ground: Ground, index: int, parts: int) -> RouterActor:
    actor = RouterActor(index, parts)
    pool = ground.pool()

    async def close() -> None:
        return None

    pools: Any = SimpleNamespace(pool=lambda _: pool, close=close)
    actor._pools = pools  # its work begins at the next turn of the loop
    return actor
