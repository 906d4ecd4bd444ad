"""Somebody else's open transaction: delivery goes on and the metric rises."""

import asyncio

import asyncpg
import pytest

from actors import metrics
from actors.router.chores import Chores
from actors.router.postgres import PostgresRouterStore
from actors.router.relay import Chore
from actors.router.sinks.factory import Sinks
from actors.settings import GuildSettings
from actors.storage.leaders import Leaders
from cluster.services import PostgresServer
from tests.integration.router.conftest import ALL, Ground, running, until_drained

pytestmark = pytest.mark.integration

METRIC = "elders_guild_log_horizon_age_seconds"


async def test_another_databases_open_transaction_holds_the_cursor_and_delivery_goes_on(
    ground: Ground, postgres_server: PostgresServer
) -> None:
    stranger = await asyncpg.connect(postgres_server.admin_url)
    look = await horizon_chore(ground)
    async with running(ground, ground.pool()) as relay:
        async with stranger.transaction():
            await stranger.fetchval("SELECT pg_current_xact_id()::text")
            ages = [await metric_after(look)]
            for version in range(5):
                await ground.publish("inc_1", version)
                ages.append(await metric_after(look))
            await until_effects(ground, 5)
            held = [(state.delivered, state.lag) for state in await relay.states()]
        await until_drained(relay)
        age_after = await metric_after(look)
    await stranger.close()

    assert held == [(5, 5)]
    assert ages == sorted(ages)
    assert ages[-1] > ages[0]
    assert age_after == 0


async def horizon_chore(ground: Ground) -> Chore:
    """The router's own look at the horizon."""
    lease = await Leaders(ground.across).acquire("watch", "test")
    assert lease is not None
    settings = GuildSettings()
    store = PostgresRouterStore(ground.across, lease)
    sinks = Sinks(lambda _: ground.pool(), ground.across, settings)
    every = Chores(ground.across, lease, store, sinks, settings).all(lambda: None)
    return next(chore for chore in every if chore.name == "horizon")


async def metric_after(look: Chore) -> float:
    """What the metric says once it was looked."""
    await asyncio.sleep(0.02)
    await look.work()
    (sample,) = [one for one in metrics.samples() if one.name == METRIC]
    return sample.value


async def until_effects(ground: Ground, count: int) -> None:
    """So many events took effect."""
    async with asyncio.timeout(120):
        while True:
            if len(await ground.effects(ALL.name)) == count:
                return
            await asyncio.sleep(0.02)
