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
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Message
from actors.settings import settings
from actors.storage.database import Database
from tests.fixtures.bus_builders import context, key, new_event, publish, put
from tests.fixtures.one_database import OneDatabase
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


class BusHost(OneDatabase):
    """Has a database of the test and no pools."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database)
        self.settings = self.settings.model_copy(
            update={"database_url": type(self.settings.database_url)(url)}
        )
        self._closers = []

    def nudge_router(self) -> None:
        return None

    def pool(self, name: str) -> LocalPool:
        return LocalPool({})


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
    assert missing == ["EraseSubject"]
    assert AckEvents in handlers
    await host.close()
