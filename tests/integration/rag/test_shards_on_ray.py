"""Shards on real members: a member dies, and no answer is ever silently incomplete."""

from pathlib import Path

import pytest

from tests.fixtures.rag_builders import GUILD
from tests.fixtures.ray_plays import report_of
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import run_as_owner

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def test_a_member_is_killed_and_its_shards_are_answered_by_others(
    fresh_database: PreparedDatabase, tmp_path: Path
) -> None:
    await run_as_owner(fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", GUILD)
    seen = await report_of(
        "tests.fixtures.shards_on_ray",
        DATABASE_URL=fresh_database.app_url,
        GUILD_LOG_DATABASE_URL=fresh_database.log_url,
        GUILD_INDEX__SHARDS="6",
        GUILD_INDEX__REPLICAS="2",
        GUILD_INDEX__GATHER_TIMEOUT_S="8",
        GUILD_INDEX__SNAPSHOT_DIR=str(tmp_path / "index"),
        GUILD_POOLS__RAG='{"min_size": 3, "max_size": 3, "memory_mib": 512}',
    )

    assert seen["before"] == ["whole"] * 3
    assert "silently missing" not in seen["during"]
    assert seen["during"].get("whole", 0) >= 50
    assert seen["after"] == ["whole"] * 3
    assert seen["nodes_known"]
