"""`guild audit verify` on a real database."""

import asyncio
import re

import asyncpg
import pytest
from typer.testing import CliRunner

from actors import clock
from actors.audit import AuditEntry
from actors.runtime.message import GuildId
from actors.settings import settings
from actors.storage import audit_log
from cluster.cli import app
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import new_guild, opened

pytestmark = pytest.mark.integration


async def _filled(prepared: PreparedDatabase, count: int) -> GuildId:
    guild = await new_guild(prepared)
    async with opened(prepared.app_url) as database, database.transaction(guild) as tx:
        await audit_log.append(tx, [AuditEntry(action="test", actor="user_1")] * count)
    return guild


async def _remove(prepared: PreparedDatabase, guild: GuildId, number: int) -> None:
    connection = await asyncpg.connect(prepared.admin_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "DELETE FROM audit_log WHERE guild_id = $1 AND number = $2", guild, number
    )
    await connection.close()


@pytest.fixture
def prepared(fresh_database: PreparedDatabase, monkeypatch: pytest.MonkeyPatch) -> PreparedDatabase:
    monkeypatch.setenv("DATABASE_URL", fresh_database.app_url)
    monkeypatch.setenv("GUILD_LOG_DATABASE_URL", fresh_database.log_url)
    monkeypatch.setenv("GUILD_AUDIT__VERIFY_ROWS", "3")
    settings.cache_clear()
    monkeypatch.setattr("cluster.audit.settings", settings.__wrapped__)
    return fresh_database


def test_whole_logs_are_printed_with_their_ends_and_a_broken_one_ends_with_1(
    prepared: PreparedDatabase,
) -> None:
    first = asyncio.run(_filled(prepared, 7))
    second = asyncio.run(_filled(prepared, 2))
    verify = ["audit", "verify"]

    whole = CliRunner().invoke(app, verify)
    anchor = re.search(rf"{first} (\S+)", whole.output)
    assert anchor is not None
    kept = CliRunner().invoke(app, [*verify, "--guild", first, "--anchor", anchor[1]])
    wrong = CliRunner().invoke(app, [*verify, "--guild", second, "--anchor", anchor[1]])
    asyncio.run(_remove(prepared, first, 5))
    broken = CliRunner().invoke(app, verify)

    assert (whole.exit_code, kept.exit_code) == (0, 0)
    assert anchor[1].startswith("7:")
    assert (wrong.exit_code, broken.exit_code) == (1, 1)
    assert f"{first} is broken: entry 5 is missing" in broken.output
    assert re.search(rf"{second} 2:[0-9a-f]{{64}}", broken.output)


@pytest.mark.parametrize("anchor", ["7", "7:abc", "0:" + "0" * 64])
def test_what_is_no_anchor_is_refused(prepared: PreparedDatabase, anchor: str) -> None:
    guild = asyncio.run(_filled(prepared, 1))

    refused = CliRunner().invoke(app, ["audit", "verify", "--guild", guild, "--anchor", anchor])

    assert refused.exit_code == 2
    assert "NUMBER:HASH" in refused.output


def test_an_anchor_without_its_guild_is_refused() -> None:
    refused = CliRunner().invoke(app, ["audit", "verify", "--anchor", "1:" + "a" * 64])

    assert refused.exit_code == 2


@pytest.mark.parametrize("guild", ["typo", clock.new_id("guild")], ids=["no id", "an id"])
def test_a_guild_that_is_none_has_no_whole_log(prepared: PreparedDatabase, guild: str) -> None:
    refused = CliRunner().invoke(app, ["audit", "verify", "--guild", guild])

    assert refused.exit_code == 2
    assert "guild" in refused.output
    assert ":" not in refused.output
