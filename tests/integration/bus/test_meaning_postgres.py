"""Standing queries on PostgreSQL."""

import pytest

from actors.bus.postgres.meaning import PostgresMeaningStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.bus.postgres.subscriptions import PostgresSubscriptionStore
from actors.embedding.identity import ModelIdentity
from actors.events import DeliverEvents, SubscriptionMatch, SubscriptionMatched
from actors.runtime.message import Position
from actors.storage.database import Database
from tests.fixtures.bus_builders import (
    GUILD,
    OTHER_GUILD,
    context,
    key,
    new_event,
    new_subscription,
    put,
    stored_event,
)
from tests.fixtures.bus_contract import added, browse

pytestmark = pytest.mark.integration


@pytest.fixture
def meanings(database: Database) -> PostgresMeaningStore:
    return PostgresMeaningStore(database)


async def test_standing_queries_are_those_of_the_guild_and_a_change_raises_the_revision(
    database: Database, meanings: PostgresMeaningStore
) -> None:
    subscriptions = PostgresSubscriptionStore(database, 10)
    before = await meanings.revision(GUILD)
    asked = new_subscription(filter_spec={"similar_to": "disk", "min_score": 0.6})
    await added(subscriptions, asked, meaning=[0.5, *[0.0] * 383])
    await added(subscriptions, new_subscription("plain"))
    await added(
        subscriptions,
        new_subscription("theirs"),
        meaning=[1.0] * 384,
        cause=put("theirs", context=context(OTHER_GUILD)),
    )

    (one,) = await meanings.standing(GUILD)

    assert (one.subscription_id, one.filter_spec) == (asked.subscription_id, asked.filter_spec)
    assert one.vector is not None
    assert (one.vector[0], len(one.vector)) == (0.5, 384)
    assert one.origin > Position(0, 0)
    assert await meanings.revision(GUILD) == before + 3


async def test_a_meaning_of_another_model_is_as_if_it_were_not_there(database: Database) -> None:
    subscriptions = PostgresSubscriptionStore(database, 10, ModelIdentity("long", 2))
    asked = new_subscription(filter_spec={"similar_to": "disk"})
    await added(subscriptions, asked, meaning=[0.6, 0.8])
    models = [ModelIdentity("long", 2), ModelIdentity("long", 384), ModelIdentity("short", 2)]

    vectors = [
        one.vector
        for model in models
        for one in await PostgresMeaningStore(database, model).standing(GUILD)
    ]

    assert vectors == [pytest.approx([0.6, 0.8]), None, None]


async def test_a_meaning_that_is_made_again_is_kept_unless_another_was_asked_for(
    database: Database,
) -> None:
    former, model = ModelIdentity("long", 3), ModelIdentity("short", 2)
    subscriptions = PostgresSubscriptionStore(database, 10, former)
    for name in ("disk", "queue"):
        asked = new_subscription(name, filter_spec={"similar_to": name})
        await added(subscriptions, asked, meaning=[0.0, 0.6, 0.8])
    meanings = PostgresMeaningStore(database, model)
    disk, queue = await meanings.standing(GUILD)
    revision = await meanings.revision(GUILD)
    stale = queue._replace(filter_spec={"similar_to": "another"}, vector=[1.0, 0.0])

    await meanings.keep(GUILD, [disk._replace(vector=[0.6, 0.8]), stale])

    found = {one.subscription_id: one.vector for one in await meanings.standing(GUILD)}
    assert found == {
        disk.subscription_id: pytest.approx([0.6, 0.8]),
        queue.subscription_id: None,
    }
    assert await meanings.revision(GUILD) == revision


async def test_a_match_is_written_once_and_in_the_order_of_what_happened(
    database: Database, meanings: PostgresMeaningStore
) -> None:
    happened = [stored_event(new_event(), place) for place in (1, 2)]
    said = [
        (
            event,
            SubscriptionMatched(
                event_id=event.event_id,
                event_type=event.type,
                matches=(SubscriptionMatch(subscription_id="sub_1", score=0.7),),
                event="{}",
            ),
        )
        for event in happened
    ]

    for batch in (said[:1], said):
        await meanings.commit(
            batch,
            cause=DeliverEvents(
                context=context(),
                command_id=key(),
                subscription="bus.meaning",
                events=tuple(event for event, _ in batch),
            ),
        )

    page = await PostgresReadingStore(database).browse(browse(oldest_first=True), 10)
    assert [event.payload for event in page.events] == [payload for _, payload in said]
    assert [event.aggregate_version for event in page.events] == [1, 2]
    assert [event.causation_id for event in page.events] == [one.event_id for one in happened]
