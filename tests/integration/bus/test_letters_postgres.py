"""Dead letters and replays on PostgreSQL."""

from dataclasses import replace
from typing import TypeAlias

import asyncpg
import pytest

from actors.bus.messages import (
    CancelReplay,
    DiscardDeadLetters,
    ListDeadLetters,
    NewEvent,
    RedriveDeadLetters,
)
from actors.bus.postgres.letters import PostgresDeadLetterStore
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.bus.postgres.replays import PostgresReplayStore
from actors.bus.postgres.subscriptions import PostgresSubscriptionStore
from actors.events import StoredEvent
from actors.storage.database import Database
from tests.fixtures.bus_builders import (
    GUILD,
    OTHER_GUILD,
    context,
    key,
    new_event,
    new_subscription,
)
from tests.fixtures.bus_contract import (
    DeadLetterStoreContract,
    Die,
    ReplayStoreContract,
    added,
    lines,
    listed,
    start,
)

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def letters(database: Database) -> PostgresDeadLetterStore:
    return PostgresDeadLetterStore(database)


@pytest.fixture
def replays(database: Database) -> PostgresReplayStore:
    return PostgresReplayStore(database)


@pytest.fixture
def die(database: Database, owner: Connection) -> Die:
    subscriptions, reading = (
        PostgresSubscriptionStore(database, 10),
        PostgresReadingStore(database),
    )

    async def die(name: str, event: NewEvent) -> StoredEvent:
        declared = await subscriptions.load(GUILD, name)
        if declared is None:
            declared = (await added(subscriptions, new_subscription(name))).subscription
        _, before, _ = await reading.advance(GUILD, None, 1)
        await PostgresPublishingStore(database).append(GUILD, lines(event))
        (stored,) = (await reading.advance(GUILD, before, 10))[0]
        await owner.execute(
            "INSERT INTO dead_letters (subscription, event_id, guild_id, attempts, reason, dead_at,"
            " event) SELECT $1, event_id, guild_id, 5, 'poison', clock_timestamp(),"
            " to_jsonb(events) FROM events WHERE event_id = $2",
            f"{declared.subscription_id}@{declared.generation}",
            stored.event_id,
        )
        return stored

    return die


class TestPostgresDeadLetterStore(DeadLetterStoreContract):
    """The contract, with row-level security under it."""


class TestPostgresReplayStore(ReplayStoreContract):
    """The contract, with row-level security under it."""


async def test_letters_outlive_the_log_and_letters_of_built_in_subscriptions_are_shown(
    letters: PostgresDeadLetterStore, die: Die, owner: Connection
) -> None:
    event = await die("orders", new_event())
    await owner.execute("UPDATE dead_letters SET subscription = 'rag.projection'")
    await owner.execute("DELETE FROM events")

    (letter,) = await listed(letters, subscription="rag.projection")

    assert (letter.subscription, letter.event) == ("rag.projection", event)


async def test_a_letter_whose_event_cannot_be_read_is_listed_without_it(
    letters: PostgresDeadLetterStore, die: Die, owner: Connection
) -> None:
    await die("orders", new_event())
    await die("orders", new_event())
    await owner.execute(
        "UPDATE dead_letters SET event = CASE WHEN ctid = (SELECT min(ctid) FROM dead_letters)"
        ' THEN NULL ELSE event || \'{"type": "sage.incident.created"}\' END'
    )

    assert [letter.event for letter in await listed(letters)] == [None, None]


async def test_letters_are_neither_shown_to_another_guild_nor_marked_by_it(
    letters: PostgresDeadLetterStore, die: Die
) -> None:
    event = await die("orders", new_event())
    named, theirs = [event.event_id], context(OTHER_GUILD)
    redrive = RedriveDeadLetters(
        context=theirs, command_id=key(), subscription="orders", event_ids=tuple(named)
    )
    discard = DiscardDeadLetters(
        context=theirs, command_id=key(), subscription="orders", event_ids=tuple(named)
    )

    page = await letters.page(ListDeadLetters(context=theirs, states=("waiting", "requested")))
    marked = (
        await letters.redrive("orders", named, 10, cause=redrive),
        await letters.redrive("orders", [], 10, cause=replace(redrive, command_id=key())),
        await letters.discard("orders", named, cause=discard),
    )

    assert (page.dead_letters, marked) == ((), (0, 0, 0))
    assert [letter.state for letter in await listed(letters)] == ["waiting"]


async def test_a_cancelled_replay_takes_its_waiting_lines_along(
    replays: PostgresReplayStore, owner: Connection
) -> None:
    begun = await replays.start(start(), "replay_1", 10)
    assert begun is not None
    await owner.execute(
        "INSERT INTO pull_deliveries (guild_id, subscription, xid, seq, event_id, aggregate_id,"
        " urgent) VALUES ($1, 'replay_1', '1', 1, 'evt_1', 'a', false)",
        GUILD,
    )

    before = await owner.fetchval("SELECT revision FROM subscription_revision")
    await replays.cancel(
        begun, cause=CancelReplay(context=context(), command_id=key(), replay_id="replay_1")
    )

    assert await owner.fetchval("SELECT count(*) FROM pull_deliveries") == 0
    assert await owner.fetchval("SELECT revision FROM subscription_revision") == before + 1
