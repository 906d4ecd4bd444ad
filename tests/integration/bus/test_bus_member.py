"""The member opens with a real database, and answers every message of the bus."""

import pytest

from actors.bus import messages
from actors.bus.actor import BusMember
from actors.bus.messages import (
    AckEvents,
    BrowseEvents,
    GetSubscription,
    PullEvents,
    TailEvents,
)
from actors.errors import ValidationError
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Message
from actors.settings import settings
from actors.storage.database import Database
from tests.fixtures.bus_builders import context, key, new_event, publish, put
from tests.fixtures.bus_host import BusHost
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration

NO_CEL = {"expression": "data.total >"}


@pytest.fixture
def member() -> BusMember:
    settings.cache_clear()
    return BusMember(MemberIdentity(pool="bus", generation=1, number=0))


async def test_an_event_goes_from_its_publisher_to_every_reader(
    member: BusMember, database: Database, module_database: PreparedDatabase
) -> None:
    host = BusHost(database, module_database.app_url)
    pool = LocalPool(await member.open(host))

    before = await pool.ask(TailEvents(context=context(), wait_s=0.0))
    made = await pool.ask(put())
    (published,) = await pool.ask(publish(new_event("1")))
    tailed = await pool.ask(TailEvents(context=context(), frontier=before.frontier))
    browsed = await pool.ask(BrowseEvents(context=context()))
    behind = await pool.ask(GetSubscription(context=context(), name="orders"))
    pulled = await pool.ask(PullEvents(context=context(), command_id=key(), name="orders"))

    assert made.progress.lag == 0
    assert [event.event_id for event in tailed.events] == [published.event_id]
    assert browsed.events == tailed.events
    assert behind.progress.lag == 1
    assert pulled == ()  # nobody routes here
    await host.close()


async def test_a_tail_goes_by_content_and_an_expression_that_is_none_is_refused(
    member: BusMember, database: Database, module_database: PreparedDatabase
) -> None:
    host = BusHost(database, module_database.app_url)
    pool = LocalPool(await member.open(host))
    asked = {"types": ["custom.order.*"], "expression": "data.total > 5 && source == '/shop'"}

    before = await pool.ask(TailEvents(context=context(), wait_s=0.0))
    small, large = await pool.ask(
        publish(new_event("1", data='{"total":3}'), new_event("2", data='{"total":9}'))
    )
    tailed = await pool.ask(
        TailEvents(context=context(), frontier=before.frontier, filter_spec=asked)
    )

    assert [event.event_id for event in tailed.events] == [large.event_id]
    assert tailed.resume >= max(small.position, large.position)
    with pytest.raises(ValidationError) as of_tail:
        await pool.ask(TailEvents(context=context(), filter_spec=NO_CEL))
    with pytest.raises(ValidationError) as of_put:
        await pool.ask(put(filter_spec=NO_CEL))
    for error in (of_tail.value, of_put.value):
        assert error.field == "filter.expression"
        assert error.reason == "is not CEL at line 1, column 13"
    await host.close()


async def test_every_message_of_the_bus_has_a_handler(
    member: BusMember, database: Database, module_database: PreparedDatabase
) -> None:
    host = BusHost(database, module_database.app_url)

    handlers = await member.open(host)

    missing = [
        name
        for name, kind in vars(messages).items()
        if isinstance(kind, type)
        and issubclass(kind, Message)
        and kind.__module__ == messages.__name__
        and kind not in handlers
    ]
    assert missing == []
    assert AckEvents in handlers
    await host.close()
