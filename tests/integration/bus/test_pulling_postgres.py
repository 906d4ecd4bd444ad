"""Pulling on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import pytest

from actors import clock
from actors.bus.messages import DeliveryPolicy, NewEvent, Subscription
from actors.bus.postgres.erasure import PostgresErasureStore
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.pulling import PostgresPullStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.events import DeliveryDeadLettered, StoredEvent
from actors.storage.database import Database
from tests.fixtures.bus_builders import GUILD, OTHER_GUILD, context, new_event, new_subscription
from tests.fixtures.bus_contract import PullStoreContract, browse, lent, lines, named, sources
from tests.fixtures.erasure_contract import about, erase

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class PostgresWaiting:
    """What the router writes, and time that passes."""

    def __init__(self, database: Database, owner: Connection) -> None:
        self._database = database
        self._owner = owner

    async def add(
        self, subscription: Subscription, *events: NewEvent, key: str | None = None
    ) -> Sequence[StoredEvent]:
        reading, publishing = (
            PostgresReadingStore(self._database),
            PostgresPublishingStore(self._database),
        )
        _, before, _ = await reading.advance(GUILD, None, 1)
        for event in events:
            await publishing.append(GUILD, lines(event))
        made, _, _ = await reading.advance(GUILD, before, 1000)
        for one in made:
            await self.wait(subscription, one, key=key)
        return made

    async def wait(
        self, subscription: Subscription, event: StoredEvent, *, key: str | None = None
    ) -> None:
        await self._owner.execute(
            "INSERT INTO pull_deliveries (guild_id, subscription, xid, seq, event_id,"
            " aggregate_id, urgent) VALUES ($1, $2, $3::text::xid8, $4, $5, $6, $7)",
            event.guild_id,
            key or f"{subscription.subscription_id}@{subscription.generation}",
            str(event.position.xid),
            event.position.seq,
            event.event_id,
            event.aggregate_id,
            event.priority.rank > 2,
        )

    async def pass_time(self, seconds: float) -> None:
        await self._owner.execute(
            "UPDATE pull_deliveries SET available_at = available_at - $1 * interval '1 second',"
            " finished_at = finished_at - $1 * interval '1 second'",
            seconds,
        )

    async def dead(self) -> dict[str, tuple[int, str]]:
        rows = await self._owner.fetch("SELECT event_id, attempts, reason FROM dead_letters")
        return {row["event_id"]: (row["attempts"], row["reason"]) for row in rows}


@pytest.fixture
def pulls(database: Database) -> PostgresPullStore:
    return PostgresPullStore(database)


@pytest.fixture
def waiting(database: Database, owner: Connection) -> PostgresWaiting:
    return PostgresWaiting(database, owner)


class TestPostgresPullStore(PullStoreContract):
    """The contract, with row-level security under it."""


async def test_several_pullers_at_once_keep_each_aggregates_order_and_share_the_rest(
    pulls: PostgresPullStore, waiting: PostgresWaiting
) -> None:
    orders = new_subscription()
    await waiting.add(
        orders, *[new_event(f"{n % 4}/{n // 4}", subject=str(n % 4)) for n in range(60)]
    )
    heard: list[str] = []

    async def puller() -> None:
        idle = 0
        while idle < 20:
            pulled = await lent(pulls, orders, limit=3)
            idle = 0 if pulled else idle + 1
            heard.extend(name for name in sources(pulled) if name is not None)
            await asyncio.sleep(0)
            if pulled:
                await pulls.ack(GUILD, orders, named(*pulled))

    await asyncio.gather(*(puller() for _ in range(4)))

    assert sorted(heard) == sorted(f"{n % 4}/{n // 4}" for n in range(60))
    for aggregate in "0123":
        steps = [int(name.split("/")[1]) for name in heard if name.startswith(aggregate)]
        assert steps == list(range(15))


@pytest.mark.parametrize("ending", ["nack", "lease"])
async def test_what_was_erased_while_it_was_lent_ends_without_a_dead_letter(
    database: Database,
    pulls: PostgresPullStore,
    waiting: PostgresWaiting,
    owner: Connection,
    ending: str,
) -> None:
    orders = new_subscription(delivery=DeliveryPolicy(max_attempts=1))
    _, other = await waiting.add(
        orders, about(source_id="gone", subject="1"), about("another", "kept", subject="2")
    )
    pulled = await lent(pulls, orders, limit=2)

    await PostgresErasureStore(database).erase(erase())
    if ending == "nack":
        await pulls.nack(context(), orders, named(*pulled), [0.0, 0.0], "bad form")
    else:
        await waiting.pass_time(3600)
        assert await lent(pulls, orders, limit=2) == []

    unfinished = "SELECT count(*) FROM pull_deliveries WHERE finished_at IS NULL"
    page = await PostgresReadingStore(database).browse(browse(), 100)
    said = [one.type for one in page.events]
    assert len(pulled) == 2
    assert (await waiting.dead()).keys() == {other.event_id}
    assert said.count(DeliveryDeadLettered.type) == 1
    assert await owner.fetchval(unfinished) == 0


async def test_a_dead_letter_keeps_the_whole_event_and_the_log_says_so(
    database: Database, pulls: PostgresPullStore, waiting: PostgresWaiting, owner: Connection
) -> None:
    orders = new_subscription(delivery=DeliveryPolicy(max_attempts=1))
    (poison,) = await waiting.add(orders, new_event("poison", correlation_id="cor_9"))
    (pulled,) = await lent(pulls, orders)

    await pulls.nack(context(), orders, named(pulled), [0.0], "bad\x00 form")

    kept = await owner.fetchrow(
        "SELECT subscription, guild_id, event->>'source_id' AS source_id, event->'data' AS data"
        " FROM dead_letters"
    )
    assert kept is not None
    assert tuple(kept) == (f"{orders.subscription_id}@1", GUILD, "poison", '{"total": 3}')
    (said,) = (
        await PostgresReadingStore(database).browse(browse(types=("system.delivery.*",)), 10)
    ).events
    assert said.payload == DeliveryDeadLettered(
        subscription="orders",
        event_id=poison.event_id,
        attempts=1,
        reason="bad form",
        event_type="custom.order.placed",
    )
    assert (said.correlation_id, said.causation_id) == ("cor_9", poison.event_id)


async def test_what_cannot_be_read_is_given_up_and_what_is_gone_ends_in_silence(
    pulls: PostgresPullStore, waiting: PostgresWaiting, owner: Connection
) -> None:
    orders = new_subscription()
    damaged, gone, whole = await waiting.add(
        orders, new_event(subject="a"), new_event(subject="b"), new_event(subject="c")
    )
    await owner.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    await owner.execute(
        "UPDATE events SET type = 'sage.incident.created' WHERE event_id = $1", damaged.event_id
    )
    await owner.execute("DELETE FROM events WHERE event_id = $1", gone.event_id)

    pulled = await lent(pulls, orders)

    assert [one.event for one in pulled] == [whole]
    assert list(await waiting.dead()) == [damaged.event_id]
    await waiting.pass_time(60)
    assert [one.event for one in await lent(pulls, orders)] == [whole]


async def test_lines_of_a_replay_are_lent_beside_the_subscriptions_own(
    pulls: PostgresPullStore, waiting: PostgresWaiting, owner: Connection
) -> None:
    orders, replay_id = new_subscription(), clock.new_id("rpl")
    await owner.execute(
        "INSERT INTO replays (guild_id, replay_id, subscription, from_xid, from_seq, to_xid,"
        " to_seq, speed, correlation_id, created_by)"
        " VALUES ($1, $2, $3, '0', 0, '0', 0, 0, 'c', 'u')",
        GUILD,
        replay_id,
        orders.name,
    )
    (event,) = await waiting.add(orders, new_event())
    await waiting.wait(orders, event, key=replay_id)

    both = await lent(pulls, orders)
    await pulls.ack(GUILD, orders, named(*both))

    assert [one.event for one in both] == [event, event]
    assert len({one.ack_id for one in both}) == 2
    await waiting.pass_time(3600)
    assert await lent(pulls, orders) == []


async def test_another_guild_neither_sees_nor_finishes_a_line(
    pulls: PostgresPullStore, waiting: PostgresWaiting
) -> None:
    orders = new_subscription()
    await waiting.add(orders, new_event())
    foreign = await pulls.lease(context(OTHER_GUILD), orders, 10, 0)
    (pulled,) = await lent(pulls, orders)

    assert foreign.events == ()
    with pytest.raises(Exception, match="lease"):
        await pulls.ack(OTHER_GUILD, orders, named(pulled))
