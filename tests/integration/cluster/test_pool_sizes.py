"""`guild pools` on a real database."""

import asyncio

import pytest
from typer.testing import CliRunner

from actors.runtime.desired import PoolState
from actors.settings import DatabaseSettings, settings
from actors.storage.database import Database
from actors.storage.desired import DesiredInPostgres
from cluster.cli import app
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


async def _supervised(prepared: PreparedDatabase, *pools: PoolState) -> None:
    """A supervisor has had these pools."""

    async def connect() -> Database:
        return await Database.open(prepared.log_url, DatabaseSettings(), connections=1)

    desired = DesiredInPostgres(connect)
    lease = await desired.lead("sup_1", unless_renewed_within_s=0)
    assert lease is not None
    for pool in pools:
        await desired.save(pool, lease)
    await desired.close()


@pytest.fixture
def prepared(fresh_database: PreparedDatabase, monkeypatch: pytest.MonkeyPatch) -> PreparedDatabase:
    monkeypatch.setenv("GUILD_LOG_DATABASE_URL", fresh_database.log_url)
    monkeypatch.setenv("GUILD_RUNTIME__HEALTH_PERIOD_S", "0.01")
    settings.cache_clear()
    monkeypatch.setattr("cluster.pool_sizes.settings", settings.__wrapped__)
    return fresh_database


def test_bounds_are_set_and_the_size_follows_into_them(prepared: PreparedDatabase) -> None:
    asyncio.run(_supervised(prepared, PoolState("task", 1, 1, 1, 4), PoolState("rag", 2, 3, 1, 4)))

    resized = CliRunner().invoke(app, ["pools", "resize", "task", "--min", "2", "--max", "8"])
    listed = CliRunner().invoke(app, ["pools", "list"])

    assert resized.output == "task: 2 members wanted, 2 to 8, generation 1\n"
    assert listed.output == (
        "rag: 3 members wanted, 1 to 4, generation 2\n"
        "task: 2 members wanted, 2 to 8, generation 1\n"
    )


def test_a_pool_that_nobody_has_is_named_and_ends_with_2(prepared: PreparedDatabase) -> None:
    unknown = CliRunner().invoke(app, ["pools", "resize", "tusk", "--min", "1", "--max", "2"])
    upside_down = CliRunner().invoke(app, ["pools", "resize", "task", "--min", "3", "--max", "2"])

    assert (unknown.exit_code, upside_down.exit_code) == (2, 2)
    assert "tusk" in unknown.output
