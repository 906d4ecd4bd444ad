"""A guild's log on PostgreSQL."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.bus.messages import NewEvent
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.errors import PositionOfAnotherEpoch
from actors.events import StoredEvent
from actors.runtime.message import GuildId, Position
from actors.storage.database import Database
from actors.storage.frontier import Frontier
from tests.fixtures.bus_builders import GUILD, new_event
from tests.fixtures.bus_contract import ReadingStoreContract, Write, browse, lines

pytestmark = pytest.mark.integration


@pytest.fixture
def reading(database: Database) -> PostgresReadingStore:
    return PostgresReadingStore(database)


@pytest.fixture
def write(database: Database, reading: PostgresReadingStore) -> Write:
    publishing = PostgresPublishingStore(database)

    async def publish(*events: NewEvent, guild_id: GuildId = GUILD) -> Sequence[StoredEvent]:
        _, before, _ = await reading.advance(guild_id, None, 1)
        for event in events:
            await publishing.append(guild_id, lines(event))
        made, _, _ = await reading.advance(guild_id, before, 100)
        return made

    return publish


class TestPostgresReadingStore(ReadingStoreContract):
    """The contract, with row-level security under it."""


async def test_a_late_commit_below_what_was_read_is_still_read(
    database: Database, reading: PostgresReadingStore, write: Write
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    publishing = PostgresPublishingStore(database)

    async def slow() -> None:
        async with database.transaction(GUILD) as tx:
            await tx.fetchval("SELECT pg_current_xact_id()::text")
            begun.set()
            await go.wait()
            await tx.execute(
                "INSERT INTO events (guild_id, event_id, source, type, aggregate_id,"
                " aggregate_version, priority, occurred_at, correlation_id, principal_id, data)"
                " VALUES ($1, 'evt_slow', '/s', 'custom.slow', 'slow', 1, 'normal', now(), 'c',"
                " 'u', '{}')",
                GUILD,
            )

    writing = asyncio.create_task(slow())
    await begun.wait()
    await publishing.append(GUILD, lines(new_event("fast")))
    fast, behind, _ = await reading.advance(GUILD, Frontier.at(Position(0, 0)), 10)
    go.set()
    await writing
    late, end, _ = await reading.advance(GUILD, behind, 10)

    assert [event.source_id for event in fast] == ["fast"]
    assert [event.event_id for event in late] == ["evt_slow"]
    assert behind.settled < late[0].position < end.settled


async def test_places_of_another_epoch_are_refused(
    reading: PostgresReadingStore, write: Write
) -> None:
    await write(new_event(), new_event())
    page = await reading.browse(browse(), 1)

    with pytest.raises(PositionOfAnotherEpoch):
        await reading.advance(GUILD, Frontier.at(Position(1, 1, 2)), 10)

    assert page.next_cursor is not None
