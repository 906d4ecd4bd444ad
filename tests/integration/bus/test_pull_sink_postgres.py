"""What the router writes for those who pull, under the router's own role."""

from typing import TypeAlias

import asyncpg
import pytest

from actors.router.sinks.pull import PullSink
from actors.settings import BusSettings
from actors.storage.database import Database
from tests.fixtures.bus_builders import stored_event

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def test_a_line_is_written_once_and_again_only_after_it_was_buried(
    log_database: Database, owner: Connection
) -> None:
    sink, event = PullSink(log_database, BusSettings()), stored_event()

    async def delivered() -> tuple[int, bool]:
        await sink.deliver("sub_1@1", [event], 5.0)
        row = await owner.fetchrow("SELECT attempt, finished_at FROM pull_deliveries")
        assert row is not None
        return row["attempt"], row["finished_at"] is not None

    first = await delivered()
    await owner.execute("UPDATE pull_deliveries SET attempt = 5, finished_at = now()")
    repeated = await delivered()
    await owner.execute("UPDATE pull_deliveries SET available_at = '-infinity'")
    redriven = await delivered()

    assert (first, repeated, redriven) == ((0, False), (5, True), (0, False))
