"""Subscriptions on PostgreSQL: where they begin, and how far they have come."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest

from actors import clock
from actors.bus.messages import Origin, Published
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.subscriptions import PostgresSubscriptionStore
from actors.errors import PositionOfAnotherEpoch
from actors.runtime.message import Position
from actors.storage.database import Database
from tests.fixtures.bus_builders import GUILD, OTHER_GUILD, new_event, new_subscription, put
from tests.fixtures.bus_contract import SubscriptionStoreContract, added, lines

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def subscriptions(database: Database) -> PostgresSubscriptionStore:
    return PostgresSubscriptionStore(database, max_lag_counted=5)


class TestPostgresSubscriptionStore(SubscriptionStoreContract):
    """The contract, with row-level security under it."""


async def published(database: Database, *types: str) -> list[Published]:
    store = PostgresPublishingStore(database)
    return [
        (await store.append(GUILD, lines(new_event(type=f"custom.{name}"))))[0] for name in types
    ]


async def begins(
    subscriptions: PostgresSubscriptionStore, owner: Connection, at: Origin
) -> Position:
    name = clock.new_id("s").replace("_", "-")
    made = new_subscription(name)
    await added(subscriptions, made, origin=at)
    row = await owner.fetchrow(
        "SELECT origin_xid::text AS xid, origin_seq FROM subscriptions WHERE subscription_id = $1",
        made.subscription_id,
    )
    assert row is not None
    return Position(int(row["xid"]), row["origin_seq"])


async def test_a_subscription_begins_where_it_is_asked_to(
    database: Database, subscriptions: PostgresSubscriptionStore, owner: Connection
) -> None:
    first, second = await published(database, "a", "b")
    since = await owner.fetchval("SELECT max(recorded_at) FROM events")

    assert await begins(subscriptions, owner, "beginning") == Position(0, 0)
    assert await begins(subscriptions, owner, first.position) == first.position
    assert first.position < await begins(subscriptions, owner, since) < second.position
    assert await begins(subscriptions, owner, since - timedelta(days=1)) < first.position
    assert await begins(subscriptions, owner, since + timedelta(days=1)) > second.position
    with pytest.raises(PositionOfAnotherEpoch):
        await begins(subscriptions, owner, Position(1, 1, 2))


async def test_from_the_end_on_nothing_written_later_is_missed(
    database: Database, subscriptions: PostgresSubscriptionStore, owner: Connection
) -> None:
    (before,) = await published(database, "a")
    begun, committed = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with database.transaction(GUILD) as tx:
            await tx.fetchval("SELECT pg_current_xact_id()::text")
            begun.set()
            await committed.wait()

    writing = asyncio.create_task(slow())
    await begun.wait()
    (meanwhile,) = await published(database, "b")
    origin = await begins(subscriptions, owner, "end")
    committed.set()
    await writing
    (after,) = await published(database, "c")

    assert before.position < origin < meanwhile.position < after.position


async def test_lag_counts_wanted_types_of_the_guild_behind_the_cursor_up_to_a_bound(
    database: Database, subscriptions: PostgresSubscriptionStore, owner: Connection
) -> None:
    wanting_b = new_subscription("b", filter_spec={"types": ["custom.b_*"]})
    wanting_all = new_subscription("all", filter_spec={})
    made = await published(database, "a", "b_1", "bx2", *["b_x"] * 3)
    await PostgresPublishingStore(database).append(OTHER_GUILD, lines(new_event(type="custom.b_1")))
    await added(subscriptions, wanting_b, origin="beginning")
    await added(subscriptions, wanting_all, origin="beginning")

    page = await subscriptions.page(GUILD, 10, None)
    await _moved(owner, f"{wanting_b.subscription_id}@1", made[3].position)
    moved = await subscriptions.info(GUILD, "b")

    lags = {info.subscription.name: info.progress for info in page.subscriptions}
    assert (lags["b"].lag, lags["all"].lag) == (4, 5)
    assert lags["b"].oldest_unacked_s > 0
    assert lags["b"].cursor is None
    assert moved is not None
    assert (moved.progress.lag, moved.progress.cursor) == (2, made[3].position)


async def test_of_several_router_partitions_the_slowest_counts(
    database: Database, subscriptions: PostgresSubscriptionStore, owner: Connection
) -> None:
    made = new_subscription()
    first, second, third = await published(database, "a", "b", "c")
    await added(subscriptions, made, origin="beginning")
    await owner.execute("UPDATE log_state SET router_partitions = 2")
    try:
        await _moved(owner, f"{made.subscription_id}@1", third.position)
        await _moved(owner, f"{made.subscription_id}@1#0/2", second.position)
        only_one = await subscriptions.info(GUILD, made.name)
        await _moved(owner, f"{made.subscription_id}@1#1/2", first.position)
        both = await subscriptions.info(GUILD, made.name)
    finally:
        await owner.execute("UPDATE log_state SET router_partitions = 1")

    assert only_one is not None
    assert (only_one.progress.cursor, only_one.progress.lag) == (None, 3)
    assert both is not None
    assert (both.progress.cursor, both.progress.lag) == (first.position, 2)


async def test_every_change_raises_the_revision_that_the_router_watches(
    subscriptions: PostgresSubscriptionStore, owner: Connection
) -> None:
    async def revision() -> int:
        found: int = await owner.fetchval("SELECT revision FROM subscription_revision")
        return found

    made, before = new_subscription(), await revision()
    await added(subscriptions, made)
    paused = replace(made, state="paused", version=2)
    await added(subscriptions, paused, origin=None)
    await subscriptions.delete(paused, cause=put())

    assert await revision() == before + 3


async def test_a_new_generation_and_a_deletion_forget_what_waited(
    subscriptions: PostgresSubscriptionStore, owner: Connection
) -> None:
    made = new_subscription()
    await added(subscriptions, made)
    await _waiting(owner, f"{made.subscription_id}@1")
    waiting = await subscriptions.info(GUILD, made.name)

    again = replace(made, generation=2, version=2)
    sought = await added(subscriptions, again, origin="beginning")
    await _waiting(owner, f"{made.subscription_id}@2")
    await subscriptions.delete(again, cause=put())

    assert waiting is not None
    assert waiting.progress.waiting == 1
    assert sought.progress.waiting == 0
    assert await owner.fetchval("SELECT count(*) FROM pull_deliveries") == 0


async def test_a_meaning_is_kept_as_a_vector(
    subscriptions: PostgresSubscriptionStore, owner: Connection
) -> None:
    await added(subscriptions, new_subscription(), meaning=[0.5] * 384)

    kept = await owner.fetchval("SELECT vector_dims(meaning) FROM subscriptions")

    assert kept == 384


async def _moved(owner: Connection, name: str, to: Position) -> None:
    await owner.execute(
        "INSERT INTO cursors (subscription, xid, seq) VALUES ($1, $2::text::xid8, $3)",
        name,
        str(to.xid),
        to.seq,
    )


async def _waiting(owner: Connection, name: str) -> None:
    await owner.execute(
        "INSERT INTO pull_deliveries (guild_id, subscription, xid, seq, event_id, aggregate_id,"
        " urgent) VALUES ($1, $2, '1', 1, 'evt_1', 'a', false)",
        GUILD,
        name,
    )
