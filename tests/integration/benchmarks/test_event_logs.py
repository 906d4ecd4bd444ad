"""The contenders of the event benchmark keep what they acknowledge, one by one and in batches."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
import redis.asyncio

from benchmarks.event_logs.bare import bare_log
from benchmarks.event_logs.drafts import Drafts
from benchmarks.event_logs.jetstream import jetstream_log
from benchmarks.event_logs.servers import NatsServer
from benchmarks.event_logs.valkey import stream_log
from cluster.process import free_ports
from tests.fixtures.services import PreparedDatabase, RunningValkey

pytestmark = pytest.mark.integration


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", port=free_ports(1)[0], sync="always")
    server.prepare()
    await server.start(timeout_s=30)
    yield server
    server.stop()


async def test_a_bare_insert_writes_the_log_its_heads_and_its_identities(
    fresh_database: PreparedDatabase,
) -> None:
    drafts = Drafts()
    connection = await asyncpg.connect(fresh_database.admin_url)
    async with bare_log(fresh_database.admin_url) as log:
        await log.write(drafts.take(1))
        await log.write(drafts.take(3))

    kept = [
        await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608  # constants
        for table in ("events", "aggregate_heads", "event_identities")
    ]
    durable = await connection.fetchval(
        "SELECT count(*) FROM events WHERE length(data::text) > 900"
    )
    await connection.close()

    assert urlsplit(fresh_database.admin_url).username == "postgres"
    assert kept == [4, 4, 4]
    assert durable == 4


async def test_jetstream_acknowledges_each_of_a_batch(nats_server: NatsServer) -> None:
    drafts = Drafts()
    client = await nats.connect(nats_server.url)
    async with jetstream_log(nats_server.url) as log:
        await log.write(drafts.take(1))
        await log.write(drafts.take(3))
        info = await client.jetstream().stream_info("EVENTS")
    left = await client.jetstream().streams_info()
    await client.close()

    assert info.state.messages == 4
    assert left == []


async def test_a_redis_stream_holds_each_of_a_batch(valkey: RunningValkey) -> None:
    drafts = Drafts()
    client = redis.asyncio.Redis.from_url(valkey.url)
    async with stream_log(valkey.url, "always") as log:
        await log.write(drafts.take(1))
        await log.write(drafts.take(3))
        held = await client.xlen("bench:events")
        synced = await client.config_get("appendfsync")
    left = await client.exists("bench:events")
    await client.config_set("appendfsync", "everysec")
    await client.aclose()

    assert held == 4
    assert list(synced.values()) in (["always"], [b"always"])
    assert left == 0
