"""Somebody else's open transaction: delivery goes on, the metric rises, the alert fires."""

import asyncio
import subprocess
from pathlib import Path

import asyncpg
import pytest
import yaml

from actors import metrics
from actors.router.chores import Chores
from actors.router.postgres import PostgresRouterStore
from actors.router.relay import Chore
from actors.router.sinks.factory import Sinks
from actors.settings import GuildSettings
from actors.storage.leaders import Leaders
from cluster.services import PostgresServer
from tests.fixtures.require import require_service
from tests.integration.router.conftest import ALL, Ground, running, until_drained

pytestmark = pytest.mark.integration

METRIC = "elders_guild_log_horizon_age_seconds"
RULES = Path(__file__).parents[3] / "cluster" / "deploy" / "prometheus" / "rules" / "guild.yml"


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


def test_the_shipped_alert_fires_when_the_horizon_is_held_for_long_and_not_before(
    tmp_path: Path,
) -> None:
    promtool = require_service("promtool", package="prometheus")
    alert = {"alertname": "GuildLogHorizonHeld"}
    fired = {
        "exp_labels": {
            "severity": "high", "service": "elders-guild", "component": "postgresql"
        },
        "exp_annotations": {
            "summary": "An open transaction holds the log's horizon",
            "description": "Cursors and the search index have waited for 2m 30s for a transaction"
            " to end.",
        },
    }  # fmt: skip
    held = {
        "interval": "15s",
        "input_series": [{"series": METRIC, "values": "0+15x20"}],
        "alert_rule_test": [
            {"eval_time": "2m", "exp_alerts": [], **alert},
            {"eval_time": "2m30s", "exp_alerts": [fired], **alert},
        ],
    }
    often_held_briefly = {
        "interval": "15s",
        "input_series": [{"series": METRIC, "values": "0 15 30 45 60 0 15 30 45 60 0 15 30 45 60"}],
        "alert_rule_test": [{"eval_time": "3m30s", "exp_alerts": [], **alert}],
    }
    cases = tmp_path / "cases.yml"
    tests = {"evaluation_interval": "15s", "tests": [held, often_held_briefly]}
    cases.write_text(yaml.safe_dump({"rule_files": [str(RULES)], **tests}))

    done = subprocess.run(
        [promtool, "test", "rules", str(cases)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


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
    async with asyncio.timeout(30):
        while True:
            if len(await ground.effects(ALL.name)) == count:
                return
            await asyncio.sleep(0.02)
