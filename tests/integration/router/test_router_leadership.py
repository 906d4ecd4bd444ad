"""The actor's own work, without Ray: leading, being deposed, stopping calmly."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from actors.router.actor import RouterActor
from actors.settings import settings
from actors.storage.cursors import Cursors
from actors.storage.leaders import Leaders
from tests.fixtures.storage import kill_backends
from tests.integration.router.conftest import Ground

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _environment(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GUILD_LOG_DATABASE_URL", ground.prepared.log_url)
    monkeypatch.setenv("GUILD_RUNTIME__LEADER_LEASE_S", "2.0")
    monkeypatch.setenv("GUILD_RUNTIME__RESTART_BACKOFF_S", "0.05")
    monkeypatch.delenv("REDIS_URL", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@asynccontextmanager
async def router(ground: Ground) -> AsyncIterator[RouterActor]:
    actor = RouterActor()
    pool = ground.pool()

    async def close() -> None:
        return None

    pools: Any = SimpleNamespace(pool=lambda _: pool, close=close)
    actor._pools = pools  # its work begins at the next turn of the loop
    try:
        yield actor
    finally:
        await actor.stop()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(120):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def leads(actor: RouterActor) -> bool:
    return (await actor.health()).leading


async def serves(actor: RouterActor) -> bool:
    return bool((await actor.snapshot()).subscriptions)


async def has_read(actor: RouterActor) -> bool:
    states = (await actor.snapshot()).subscriptions
    return bool(states) and all(state.cursor != "1-0-0" for state in states)


async def test_it_leads_delivers_and_tells_how_it_stands(ground: Ground) -> None:
    async with router(ground) as actor:
        await until(lambda: leads(actor))
        await until(lambda: serves(actor))
        await ground.publish("inc_1", 0)
        await actor.nudge()
        await until(lambda: has_read(actor))
        snapshot = await actor.snapshot()
        health = await actor.health()

    names = [state.name for state in snapshot.subscriptions]
    assert (health.leading, health.epoch, snapshot.nudges) == (True, 1, 1)
    assert "saga.incident_loop" in names
    assert all(state.lag == 0 for state in snapshot.subscriptions)
    assert any(sample.name == "elders_guild_outbox_lag_seconds" for sample in health.samples)


async def test_a_calm_stop_saves_the_cursors(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUILD_ROUTER__CURSOR_SAVE_S", "600")
    await ground.publish("inc_1", 0)

    async with router(ground) as actor:
        await until(lambda: has_read(actor))
    cursors = await Cursors(ground.across).load(["rag.projection"])

    assert cursors["rag.projection"].xid > 0


async def test_a_deposed_router_leads_again_only_when_the_newer_one_is_gone(
    ground: Ground,
) -> None:
    leaders = Leaders(ground.across)
    async with router(ground) as actor:
        await until(lambda: leads(actor))
        newer = await leaders.acquire("router", "newer")
        assert newer is not None
        held_back = []
        for _ in range(10):
            await asyncio.sleep(0.1)
            await leaders.renew(newer)
            held_back.append((await leaders.current("router")) == newer)
        await until(lambda: _epoch_above(leaders, newer.epoch))
        await until(lambda: leads(actor))

    assert all(held_back)


async def _epoch_above(leaders: Leaders, epoch: int) -> bool:
    current = await leaders.current("router")
    return current is not None and current.epoch > epoch


async def test_it_outlives_a_database_that_drops_it(ground: Ground) -> None:
    async with router(ground) as actor:
        await until(lambda: leads(actor))
        for _ in range(3):
            await kill_backends(ground.prepared, "guild_log")
            await asyncio.sleep(0.1)

        await until(lambda: leads(actor))
