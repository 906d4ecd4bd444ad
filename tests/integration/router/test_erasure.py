"""A person is erased: nothing of them is left anywhere, and everything else goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from actors.bus import messages
from actors.bus.messages import (
    BrowseEvents,
    DeliveryPolicy,
    EraseSubject,
    Erasure,
    ListDeadLetters,
    NewEvent,
    PublishEvents,
    PulledEvent,
    PutSubscription,
    StartReplay,
    Subscription,
)
from actors.bus.postgres.erasure import PostgresErasureStore
from actors.bus.postgres.letters import PostgresDeadLetterStore
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.pulling import PostgresPullStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.bus.postgres.replays import PostgresReplayStore
from actors.bus.postgres.subscriptions import PostgresSubscriptionStore
from actors.bus.sage.erasure import ErasureSage
from actors.bus.sage.publishing import PublishingSage
from actors.errors import InvalidTransition, ValidationError
from actors.events import CustomEvent, DeliverEvent, Erased, StoredEvent
from actors.router import routing
from actors.router.postgres import PostgresRouterStore
from actors.router.relay import Relay
from actors.router.sink import Sink
from actors.router.sinks.pool import PoolSink
from actors.router.sinks.pull import PullSink
from actors.runtime.local import LocalPool
from actors.runtime.message import Caller, Context, GuildId, Permission
from actors.settings import BusSettings, RouterSettings
from actors.storage import streams
from actors.storage.database import Database
from actors.storage.leaders import Leaders
from actors.storage.streams import LiveTail, connect
from cluster.services import PostgresServer
from tests.fixtures.bus_builders import key, new_event, new_subscription
from tests.fixtures.services import PreparedDatabase, RunningValkey
from tests.fixtures.storage import new_guild, new_vault, opened

pytestmark = pytest.mark.integration

SECRET, OPEN = "marker-0c5b7f20-of-a-person", "marker-9d41ee73-of-nobody"
PERSON = "somebody-4417@example.test"
NUMBERS = RouterSettings(
    poll_interval_s=0.02, backoff_s=(0.01,), cursor_save_s=0.02, refresh_s=0.02
)
QUICK = DeliveryPolicy(backoff_s=(0.01,), max_attempts=2)
REMEMBERED_S = 0.2
_EVERY_TABLE = """
SELECT format('SELECT count(*) FROM %I.%I AS line WHERE line::text LIKE ''%%'' || $1 || ''%%''',
              schemaname, tablename) AS statement
FROM pg_tables WHERE schemaname = 'public'
"""


@dataclass
class World:
    """One guild, and everybody who publishes, hears, pulls and erases in it."""

    guild: GuildId
    sages: Database
    across: Database
    heard: list[StoredEvent] = field(default_factory=list)

    @property
    def context(self) -> Context:
        caller = Caller(
            guild_id=self.guild, principal_id="user_1", permissions=frozenset({Permission.ADMIN})
        )
        return Context(caller=caller, correlation_id="cor_1")

    async def publish(self, *events: NewEvent) -> list[str]:
        sage = PublishingSage(PostgresPublishingStore(self.sages), BusSettings())
        command = PublishEvents(context=self.context, command_id=key(), events=events)
        return [one.event_id for one in await sage.publish(command)]

    async def subscribe(self, name: str, sink: messages.Sink) -> Subscription:
        declared = new_subscription(name, sink=sink, delivery=QUICK)
        store = PostgresSubscriptionStore(self.sages, 100)
        cause = PutSubscription(
            context=self.context, command_id=key(), name=name, filter_spec={}, sink=sink
        )
        await store.commit(declared, origin="beginning", meaning=None, cause=cause)
        return declared

    async def pull(self, subscription: Subscription, limit: int) -> tuple[PulledEvent, ...]:
        store = PostgresPullStore(self.sages)
        while True:
            leased = await store.lease(self.context, subscription, limit, 0)
            if not leased.again:
                return leased.events

    async def erase(self) -> Erasure:
        command = EraseSubject(context=self.context, command_id=key(), subject=PERSON)
        return await ErasureSage(PostgresErasureStore(self.sages)).erase(command)

    async def handle(self, message: DeliverEvent) -> None:
        if isinstance(data := told(message.event), dict) and data.get("poison"):
            raise InvalidTransition("incident", "open", "closed")
        self.heard.append(message.event)

    def sink(self, subscription: routing.Subscription) -> Sink:
        if isinstance(subscription.sink, messages.PullSink):
            return PullSink(self.across, BusSettings())
        return PoolSink(LocalPool({DeliverEvent: self.handle}))

    @asynccontextmanager
    async def routing(self, tail: LiveTail | None = None) -> AsyncIterator[Relay]:
        lease = await Leaders(self.across).acquire("router", "test")
        assert lease is not None
        store = PostgresRouterStore(self.across, lease)
        relay = Relay(
            store,
            self.sink,
            NUMBERS,
            subscriptions=(),
            on_events=None if tail is None else tail.offer,
        )
        task = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world(fresh_database: PreparedDatabase) -> AsyncIterator[World]:
    guild = await new_guild(fresh_database)
    vault = new_vault(key_cache_s=REMEMBERED_S)
    async with (
        opened(fresh_database.app_url) as sages,
        opened(fresh_database.log_url, connections=2, vault=vault) as across,
    ):
        yield World(guild, sages, across)


def told(event: StoredEvent) -> Any:
    assert isinstance(event.payload, CustomEvent)
    return orjson.loads(event.payload.data)


def about_person(number: int, **data: object) -> NewEvent:
    text = orjson.dumps({"number": number, "note": SECRET, **data}).decode()
    return new_event(data=text, data_subject=PERSON, subject=f"{number}")


def about_nobody(number: int) -> NewEvent:
    return new_event(data=orjson.dumps({"note": OPEN}).decode(), subject=f"{number}")


async def until_drained(relay: Relay) -> None:
    async with asyncio.timeout(120):
        while True:
            states = await relay.states()
            if states and not any(state.lag for state in states):
                return
            await asyncio.sleep(0.02)


async def rows_with(prepared: PreparedDatabase, text: str) -> int:
    admin = await asyncpg.connect(prepared.admin_url)
    try:
        statements = [row["statement"] for row in await admin.fetch(_EVERY_TABLE)]
        assert len(statements) > 20
        return sum([await admin.fetchval(statement, text) for statement in statements])
    finally:
        await admin.close()


async def files_with(server: PostgresServer, text: str) -> list[Path]:
    """Data, write-ahead log and the server's own log, after all that is in memory is written."""
    admin = await asyncpg.connect(server.admin_url)
    await admin.execute("CHECKPOINT")
    await admin.close()
    found = []
    for path in server.folder.rglob("*"):
        try:
            if path.is_file() and text.encode() in path.read_bytes():
                found.append(path)
        except FileNotFoundError:
            continue  # the server has put it away meanwhile
    return found


async def test_a_person_is_erased_and_nothing_of_them_is_left_and_everything_else_goes_on(
    world: World,
    fresh_database: PreparedDatabase,
    postgres_server: PostgresServer,
    valkey: RunningValkey,
) -> None:
    await world.subscribe("heard", messages.PoolSink(pool="task"))
    pulled = await world.subscribe("pulled", messages.PullSink())
    tail = LiveTail(valkey.url, NUMBERS, partial(streams.recent, world.across))
    showing = asyncio.create_task(tail.run())
    persons = await world.publish(
        *(about_person(number) for number in range(4)), about_person(4, poison=True)
    )
    others = await world.publish(*(about_nobody(number) for number in range(5, 10)))
    async with world.routing(tail) as relay:
        await until_drained(relay)
    first = await world.pull(pulled, 2)
    before = list(world.heard)
    world.heard.clear()

    done = await world.erase()
    await asyncio.sleep(REMEMBERED_S)

    # They were heard as long as they were there.
    assert sum(told(event)["note"] == SECRET for event in before) == 4
    assert [told(one.event)["note"] for one in first] == [SECRET, SECRET]

    # Who pulls, and who hears the log again, gets everything but them.
    left = await world.pull(pulled, 100)
    replays = PostgresReplayStore(world.sages)
    command = StartReplay(
        context=world.context, command_id=key(), subscription="heard", begin="beginning"
    )
    await replays.start(command, "rpl_" + "1" * 26, 10)
    async with world.routing() as relay:
        await until_drained(relay)
        async with asyncio.timeout(120):
            while (await _replay(replays, world)).state != "completed":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert [one.event.event_id for one in left] == others
    custom = [one for one in world.heard if one.type.startswith("custom.")]
    assert {one.event_id for one in custom} == set(others)
    assert not {one.event_id for one in world.heard} & set(persons)

    # The log still says that something was there, and whose.
    browse = BrowseEvents(context=world.context, types=("custom.*",), oldest_first=True)
    page = await PostgresReadingStore(world.sages).browse(browse, 100)
    seen = {one.event_id: one for one in page.events}
    assert list(seen) == [*persons, *others]
    assert {seen[one].payload for one in persons} == {Erased(name="custom.order.placed")}
    assert {seen[one].sealed_for for one in persons} == {done.subject_digest}
    letters = await PostgresDeadLetterStore(world.sages).page(
        ListDeadLetters(context=world.context, states=("waiting", "requested", "discarded"))
    )
    (letter,) = letters.dead_letters
    assert (letter.event_id, letter.event, letter.state) == (persons[4], None, "discarded")

    # Nothing comes after them.
    with pytest.raises(ValidationError, match=r"events\[0\].datasubject: was erased"):
        await world.publish(about_person(11))

    # And nothing of them was ever written in clear, while what is about nobody is found.
    for text, clear in ((SECRET, False), (PERSON, False), (OPEN, True)):
        assert (await rows_with(fresh_database, text) > 0) is clear
        assert bool(await files_with(postgres_server, text)) is clear
    assert await _in_redis(valkey, persons[0])
    assert not await _in_redis(valkey, SECRET)
    assert not await _in_redis(valkey, PERSON)
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)


async def _replay(replays: PostgresReplayStore, world: World) -> messages.Replay:
    found = await replays.get(world.guild, "rpl_" + "1" * 26)
    assert found is not None
    return found


async def _in_redis(valkey: RunningValkey, text: str) -> bool:
    client = connect(valkey.url, NUMBERS)
    try:
        entries = [
            await client.xrange(name)
            async for name in client.scan_iter()
            if await client.type(name) == "stream"
        ]
        return text in str(entries)
    finally:
        await client.aclose()
