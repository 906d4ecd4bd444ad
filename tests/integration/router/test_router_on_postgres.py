"""The router against a real log: what it promises, while it is killed again and again."""

import asyncio
from collections import defaultdict
from random import Random

import pytest

from actors.errors import InvalidTransition
from actors.events import DeliverEvent, Priority
from actors.router.postgres import PostgresRouterStore
from actors.router.redrive import redrive
from actors.runtime.local import LocalPool
from actors.storage.dead_letters import DeadLetters
from actors.storage.inbox import Inbox
from actors.storage.leaders import Leaders, LeadershipLost
from tests.fixtures.router import to_pools
from tests.fixtures.storage import kill_backends
from tests.integration.router.conftest import (
    ALL,
    NUMBERS,
    Ground,
    new_relay,
    running,
    until_drained,
)

pytestmark = pytest.mark.integration


def assert_once_and_in_order(effects: list[tuple[str, int]], expected: dict[str, int]) -> None:
    seen = defaultdict(list)
    for aggregate, version in effects:
        seen[aggregate].append(version)
    assert dict(seen) == {
        aggregate: list(range(1, versions + 1)) for aggregate, versions in expected.items()
    }


async def test_routers_that_die_at_any_moment_lose_double_and_reorder_nothing(
    ground: Ground,
) -> None:
    rolls = Random(3)  # noqa: S311  # the same run each time
    pool, versions = ground.pool(), defaultdict[str, int](int)

    async def write(aggregates: list[str]) -> None:
        for _ in range(100):
            aggregate = rolls.choice(aggregates)
            await ground.publish(aggregate, versions[aggregate], rolls.choice(list(Priority)))
            versions[aggregate] += 1

    writers = asyncio.gather(*(write([f"inc_{w}_{n}" for n in range(6)]) for w in range(4)))
    deaths = 0
    while not writers.done():
        async with running(ground, pool):
            await asyncio.sleep(rolls.random() * 0.15)
        deaths += 1
    async with running(ground, pool) as relay:
        await until_drained(relay)

    assert deaths >= 5
    assert_once_and_in_order(await ground.effects("task.all"), versions)


async def test_the_database_may_drop_every_connection_meanwhile(ground: Ground) -> None:
    async with running(ground, ground.pool()) as relay:
        for version in range(60):
            await ground.publish("inc_1", version)
            if version % 20 == 10:
                await kill_backends(ground.prepared, "guild_log")
        await until_drained(relay)

    assert_once_and_in_order(await ground.effects("task.all"), {"inc_1": 60})


async def test_poison_ends_in_the_dead_letters_and_a_redrive_heals_it_once(
    ground: Ground,
) -> None:
    refusing = True

    async def handle(message: DeliverEvent) -> None:
        if refusing and message.event.aggregate_version == 2:
            raise InvalidTransition("incident", "open", "closed")
        await ground.take_effect(message)

    pool = LocalPool({DeliverEvent: handle}, Inbox(ground.app))
    for version in range(4):
        await ground.publish("inc_1", version)

    async with running(ground, pool) as relay:
        await until_drained(relay)
        dead = DeadLetters(ground.across)
        (letter,) = await dead.waiting("task.all", 10)
        without = await ground.effects("task.all")
    refusing = False
    lease = await Leaders(ground.across).acquire("router", "test")
    assert lease is not None
    store = PostgresRouterStore(ground.across, lease)
    for _ in range(2):
        await redrive(
            store,
            to_pools(lambda _: pool),
            NUMBERS,
            "task.all",
            [letter.event_id],
            subscriptions=(ALL,),
        )
    async with running(ground, pool) as again:
        await until_drained(again)

    assert (letter.attempts, letter.reason.partition(":")[0]) == (5, "invalid_transition")
    assert without == [("inc_1", 1), ("inc_1", 3), ("inc_1", 4)]
    assert await ground.effects("task.all") == [*without, ("inc_1", 2)]
    assert await dead.waiting("task.all", 10) == []


async def test_a_router_that_was_replaced_stops_and_leaves_the_cursor_alone(
    ground: Ground,
) -> None:
    stuck = asyncio.Event()

    async def hang(_: DeliverEvent) -> None:
        await stuck.wait()

    await ground.publish("inc_1", 0)
    old = await new_relay(ground, LocalPool({DeliverEvent: hang}))
    old_run = asyncio.create_task(old.run())
    await asyncio.sleep(0.1)

    async with running(ground, ground.pool()) as new:
        await until_drained(new)
        with pytest.raises(LeadershipLost):
            await asyncio.wait_for(old_run, 5)
    stuck.set()

    assert await ground.effects("task.all") == [("inc_1", 1)]
