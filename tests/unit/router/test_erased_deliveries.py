"""What is erased while it waits in the router is heard by nobody, and holds nobody up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from actors.errors import DependencyUnavailable, InvalidTransition
from actors.events import DeliverEvent, StoredEvent
from actors.router.relay import Relay
from actors.router.routing import Subscription
from actors.router.sinks.pool import PoolSink
from actors.runtime.message import Position
from tests.fixtures.router import QUICK, MemoryRouterStore, ScriptedPool, stored_event, until

TASK = Subscription("task.all", "task", ("sage.incident.*",))


def about(person: str, seq: int) -> StoredEvent:
    return replace(stored_event(seq, version=seq), sealed_for=person)


@asynccontextmanager
async def running(store: MemoryRouterStore, pool: ScriptedPool) -> AsyncIterator[Relay]:
    relay = Relay(store, lambda _: PoolSink(pool), QUICK, subscriptions=(TASK,))
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_was_erased_since_it_was_read_is_passed_over_without_a_dead_letter() -> None:
    log = [about("gone", 1), about("here", 2), stored_event(3, version=3), about("gone", 4)]
    store, pool = MemoryRouterStore(log=log, forgotten={"gone"}), ScriptedPool()

    async with running(store, pool) as relay:
        await until(lambda: store.cursors.get("task.all") == Position(10, 4))
        (state,) = await relay.states()

    assert pool.arrived == ["evt_2", "evt_3"]
    assert store.dead == {}
    assert (state.delivered, state.failed, state.unfinished) == (2, 0, 0)


async def test_what_keeps_failing_ends_in_silence_once_it_is_erased() -> None:
    store = MemoryRouterStore(log=[about("person", 1), stored_event(2, version=2)])

    async def refuse_and_forget(message: DeliverEvent) -> None:
        if message.event.sealed_for is not None:
            store.forgotten.add("person")
            raise InvalidTransition("incident", "open", "closed")

    pool = ScriptedPool(refuse_and_forget)

    async with running(store, pool):
        await until(lambda: store.cursors.get("task.all") == Position(10, 2))

    assert pool.arrived == ["evt_1", "evt_2"]
    assert store.dead == {}


async def test_while_nobody_knows_whether_it_was_erased_it_is_not_delivered() -> None:
    store = MemoryRouterStore(log=[about("gone", 1)], forgotten={"gone"})
    asked = 0

    def away(operation: str) -> None:
        nonlocal asked
        if operation == "erased":
            asked += 1
            if asked < 5:
                raise DependencyUnavailable("postgres")

    store.trouble, pool = away, ScriptedPool()

    async with running(store, pool):
        await until(lambda: store.cursors.get("task.all") == Position(10, 1))

    assert asked == 5
    assert pool.arrived == []
    assert store.dead == {}


async def test_nobody_is_asked_about_what_names_nobody() -> None:
    store, pool = MemoryRouterStore(log=[stored_event(1)]), ScriptedPool()
    operations: list[str] = []
    store.trouble = operations.append

    async with running(store, pool):
        await until(lambda: bool(store.cursors))

    assert "erased" not in operations
    assert pool.effects == ["evt_1"]
