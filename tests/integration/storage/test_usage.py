"""What PostgreSQL and Valkey say of themselves, and counting over all guilds."""

import asyncpg
import pytest

from actors import metrics
from actors.runtime.message import GuildId
from actors.settings import RouterSettings
from actors.storage import usage
from actors.storage.database import Database
from actors.storage.streams import connect
from cluster.process import free_ports
from tests.fixtures.services import PreparedDatabase, RunningValkey

pytestmark = pytest.mark.integration

_TASK = """
INSERT INTO tasks (guild_id, task_id, name, description, category, status, priority, origin,
                   ordinal, progress, result, error, reason, retry_count, max_retries,
                   knowledge_refs, incident_refs, blocked_by, tags, labels, correlation_id,
                   version, created_at, created_by, updated_at, updated_by)
VALUES ($1, $2, 'n', '', 'c', 'pending', 'normal', 'person', 0, 0, '', '', '', 0, 0, '{}', '{}',
        '[]', '{}', '{}', 'cor_1', 1, now(), 'u', now(), 'u')
"""
_INCIDENT = """
INSERT INTO incidents (guild_id, incident_id, version, detected_at, record)
VALUES ($1, $2, 1, now(), jsonb_build_object('status', $3::text, 'severity', 'high'))
"""


async def test_the_server_says_how_many_are_connected(across: Database) -> None:
    seen = await usage.of_server(across)

    assert 1 <= seen.connections <= seen.max_connections
    assert seen.size > 1_000_000
    assert seen.standbys == {}


async def test_what_all_guilds_hold_is_counted(
    app: Database, across: Database, guild: GuildId, other_guild: GuildId
) -> None:
    before = await usage.holdings(across)

    for name in (guild, other_guild):
        async with app.transaction(name) as tx:
            await tx.execute(_TASK, name, "tsk_1")
            await tx.execute(_INCIDENT, name, "inc_open", "open")
            await tx.execute(_INCIDENT, name, "inc_over", "closed")

    after = await usage.holdings(across)
    assert after.tasks["pending"] - before.tasks.get("pending", 0) == 2
    assert after.incidents["high"] - before.incidents.get("high", 0) == 2
    assert after.knowledge == before.knowledge
    assert after.dead_letters == before.dead_letters


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT name FROM tasks",
        "SELECT guild_id FROM tasks",
        "SELECT record FROM incidents",
        "SELECT title FROM knowledge_entities",
        "UPDATE tasks SET status = 'completed'",
        "DELETE FROM incidents",
    ],
)
async def test_who_counts_reads_nothing_else(across: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with across.across_guilds() as tx:
            await tx.execute(statement)


async def test_statements_and_transactions_are_counted(app: Database, guild: GuildId) -> None:
    async def counted() -> tuple[float, float, float]:
        value = metrics.REGISTRY.get_sample_value
        return (
            value("elders_guild_transactions_total", {"result": "committed"}) or 0.0,
            value("elders_guild_transactions_total", {"result": "rolled_back"}) or 0.0,
            value("elders_guild_query_duration_seconds_count", {"statement": "select"}) or 0.0,
        )

    before = await counted()
    async with app.transaction(guild) as tx:
        await tx.fetchval("SELECT 1")
    with pytest.raises(ZeroDivisionError):
        async with app.read(guild):
            raise ZeroDivisionError

    after = await counted()
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]


async def test_redis_says_how_much_memory_it_has(valkey: RunningValkey) -> None:
    client = connect(valkey.url, RouterSettings())

    seen = await usage.of_redis(client)

    await client.aclose()
    assert seen is not None
    assert seen.used > 100_000
    assert seen.limit >= 0


async def test_a_redis_that_is_away_says_nothing(postgres: PreparedDatabase) -> None:
    client = connect(f"redis://127.0.0.1:{free_ports(1)[0]}/0", RouterSettings())

    seen = await usage.of_redis(client)

    await client.aclose()
    assert seen is None
