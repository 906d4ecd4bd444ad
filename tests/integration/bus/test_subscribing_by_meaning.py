"""Who asks for a meaning, and more, is given the events that it means, as they are in the log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import numpy as np
import pytest

from actors.bus.actor import BusMember
from actors.bus.messages import (
    AckEvents,
    BrowseEvents,
    DeadLetter,
    DeliveryPolicy,
    GetReplay,
    GetSubscription,
    ListDeadLetters,
    NackEvents,
    NewEvent,
    PoolSink,
    PulledEvent,
    PullEvents,
    RedriveDeadLetters,
    Replay,
    StartReplay,
)
from actors.embedding.messages import Embed, Embeddings
from actors.errors import NotFound
from actors.events import DeliverEvent, StoredEvent
from actors.router.postgres import PostgresRouterStore
from actors.router.redrive import redrive_requested
from actors.router.relay import Chore, Relay
from actors.router.sinks.factory import Sinks
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.settings import RouterSettings, settings
from actors.storage.database import Database
from actors.storage.leaders import Leaders
from tests.fixtures.bus_builders import GUILD, OTHER_GUILD, context, key, new_event, publish, put
from tests.fixtures.one_database import OneDatabase
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration

NUMBERS = RouterSettings(
    poll_interval_s=0.02, backoff_s=(0.01,), cursor_save_s=0.02, refresh_s=0.02
)
WANTED = {
    "similar_to": "disk is full",
    "min_score": 0.9,
    "types": ["custom.alert.*"],
    "expression": "data.level >= 3 && subject.startsWith('db')",
}


async def embed(message: Embed) -> Embeddings:
    """Texts that say disk mean one thing, all others another."""
    vectors = np.zeros((len(message.texts), 384), dtype=np.float32)
    for vector, text in zip(vectors, message.texts, strict=True):
        vector[0 if "disk" in text else 1] = 1.0
    return Embeddings(vectors=vectors, model_id="stub")


class Host(OneDatabase):
    """Has the test's database, and an embedder that is quick and always right."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database)
        self.settings = self.settings.model_copy(
            update={"database_url": type(self.settings.database_url)(url)}
        )
        self._closers = []

    def nudge_router(self) -> None:
        return None

    def pool(self, name: str) -> LocalPool:
        return LocalPool({Embed: embed})


@dataclass
class Guild:
    """A bus and the router before it."""

    host: Host
    bus: LocalPool
    across: Database

    @asynccontextmanager
    async def routed(self, task: LocalPool | None = None) -> AsyncIterator[None]:
        lease = await Leaders(self.across).acquire("router", "test")
        assert lease is not None
        store = PostgresRouterStore(self.across, lease)
        pools = {"bus": self.bus, "task": task or LocalPool({})}
        sinks = Sinks(pools.__getitem__, self.across, self.host.settings)

        async def again() -> None:
            await redrive_requested(store, sinks, NUMBERS, relay.serving)

        relay = Relay(
            store, sinks, NUMBERS, subscriptions=(), chores=[Chore("redrive", 0.02, again)]
        )
        work = asyncio.create_task(relay.run())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def pull(self, least: int = 1, name: str = "disks") -> tuple[PulledEvent, ...]:
        pulled: tuple[PulledEvent, ...] = ()
        async with asyncio.timeout(20):
            while len(pulled) < least:
                asked = PullEvents(context=context(), command_id=key(), name=name, wait_s=0.5)
                pulled = (*pulled, *await self.bus.ask(asked))
        return pulled

    async def nothing_more(self, name: str = "disks") -> None:
        """All was read, and nothing of it waits."""
        async with asyncio.timeout(20):
            while True:
                info = await self.bus.ask(GetSubscription(context=context(), name=name))
                if not info.progress.lag and await self._compared():
                    break
                await asyncio.sleep(0.02)
        assert info.progress.waiting == 0

    async def _compared(self) -> bool:
        """Whether the guild's events were compared up to the last one that was published."""
        async with self.across.across_guilds() as tx:
            return bool(
                await tx.fetchval(
                    "SELECT NOT EXISTS (SELECT FROM events WHERE guild_id = $1 AND (xid, seq) >"
                    " (SELECT xid, seq FROM cursors WHERE subscription = $2)"
                    " AND type LIKE 'custom.%')",
                    GUILD,
                    f"bus.meaning:{GUILD}",
                )
            )

    async def letter(self, state: str = "waiting") -> DeadLetter:
        """The one there is, or will be."""
        query = ListDeadLetters(context=context(), states=(state,), subscription="disks")
        async with asyncio.timeout(20):
            while True:
                if found := (await self.bus.ask(query)).dead_letters:
                    (letter,) = found
                    return letter
                await asyncio.sleep(0.02)

    async def logged(self, event_id: str) -> StoredEvent:
        page = await self.bus.ask(BrowseEvents(context=context(), limit=100))
        (event,) = [event for event in page.events if event.event_id == event_id]
        return event


@pytest.fixture
async def guild(
    database: Database, log_database: Database, module_database: PreparedDatabase
) -> AsyncIterator[Guild]:
    settings.cache_clear()
    host = Host(database, module_database.app_url)
    member = BusMember(MemberIdentity(pool="bus", generation=1, number=0))
    handlers = await member.open(host)
    yield Guild(host, LocalPool(handlers, host.ledger), log_database)
    await host.close()


def alert(
    source_id: str, text: str = "the disk of db1 is full", level: int = 5, **changes: str
) -> NewEvent:
    data = f'{{"title":"{text}","level":{level},"serial":123456789012345678901234567890}}'
    given = {"type": "custom.alert.fired", "subject": "db1", "partition_key": source_id}
    return new_event(source_id, data=data, **(given | changes))


def acked(pulled: Sequence[PulledEvent]) -> AckEvents:
    ids = tuple(one.ack_id for one in pulled)
    return AckEvents(context=context(), command_id=key(), name="disks", ack_ids=ids)


def redrive(event_id: str) -> RedriveDeadLetters:
    return RedriveDeadLetters(
        context=context(), command_id=key(), subscription="disks", event_ids=(event_id,)
    )


async def ended(guild: Guild, replay_id: str) -> Replay:
    async with asyncio.timeout(20):
        while True:
            now = await guild.bus.ask(GetReplay(context=context(), replay_id=replay_id))
            if now.state != "running":
                return now
            await asyncio.sleep(0.02)


async def test_exactly_what_was_asked_for_arrives_as_it_is_in_the_log(guild: Guild) -> None:
    await guild.bus.ask(put("disks", filter_spec=WANTED))
    published = await guild.bus.ask(
        publish(
            alert("wanted"),
            alert("mild", level=2),
            alert("elsewhere", subject="web1"),
            alert("other type", type="custom.note"),
            alert("other meaning", text="too many connections"),
            alert("also wanted", text="no space left on disk"),
        )
    )
    await guild.bus.ask(publish(alert("theirs"), guild_id=OTHER_GUILD))

    async with guild.routed():
        pulled = await guild.pull(2)
        await guild.bus.ask(acked(pulled))
        await guild.nothing_more()
    async with guild.routed():  # another router finds nothing to repeat
        await guild.nothing_more()

    assert [one.event.source_id for one in pulled] == ["wanted", "also wanted"]
    assert [one.event.event_id for one in pulled] == [
        published[0].event_id,
        published[5].event_id,
    ]
    for one in pulled:
        assert one.event == await guild.logged(one.event.event_id)


async def test_each_subscription_hears_its_own_meaning_and_both_may_hear_one_event(
    guild: Guild,
) -> None:
    await guild.bus.ask(put("disks", filter_spec=WANTED))
    await guild.bus.ask(put("others", filter_spec={"similar_to": "the weather"}))
    await guild.bus.ask(put("all", filter_spec={"similar_to": "anything", "min_score": -1}))
    await guild.bus.ask(publish(alert("a"), alert("b", text="rain")))

    async with guild.routed():
        found = {
            name: [one.event.source_id for one in await guild.pull(number, name)]
            for name, number in (("disks", 1), ("others", 1), ("all", 2))
        }

    assert found == {"disks": ["a"], "others": ["b"], "all": ["a", "b"]}


async def test_a_dead_letter_and_its_redrive_name_the_event_itself(guild: Guild) -> None:
    once = DeliveryPolicy(max_attempts=1)
    await guild.bus.ask(put("disks", filter_spec=WANTED, delivery=once))
    (published,) = await guild.bus.ask(publish(alert("poison")))

    async with guild.routed():
        (pulled,) = await guild.pull()
        await guild.bus.ask(
            NackEvents(context=context(), command_id=key(), name="disks", ack_ids=(pulled.ack_id,))
        )
        letter = await guild.letter()
        asked = await guild.bus.ask(redrive(published.event_id))
        again = await guild.pull()
        await guild.bus.ask(acked(again))
        await guild.nothing_more()

    assert (letter.event_id, letter.event_type) == (published.event_id, "custom.alert.fired")
    assert letter.event == await guild.logged(published.event_id)
    assert asked == 1
    assert [one.event for one in again] == [letter.event]
    redriven = await guild.letter("redriven")
    assert redriven.event_id == published.event_id


async def test_what_a_pool_refuses_is_passed_over_by_the_next_router_until_it_is_redriven(
    guild: Guild, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    refusing, arrived = True, []

    async def handle(message: DeliverEvent) -> None:
        arrived.append(message.event)
        if refusing:
            raise NotFound("order", "1")

    once, task = DeliveryPolicy(max_attempts=1), LocalPool({DeliverEvent: handle})
    to_pool = put("disks", filter_spec=WANTED, delivery=once, sink=PoolSink(pool="task"))
    await guild.bus.ask(to_pool)
    (published,) = await guild.bus.ask(publish(alert("poison")))

    async with guild.routed(task):
        letter = await guild.letter()
    await owner.execute("DELETE FROM cursors WHERE subscription ~ '^sub_'")
    async with guild.routed(task):
        await guild.nothing_more()
        repeated = len(arrived) - 1
        refusing = False
        await guild.bus.ask(redrive(letter.event_id))
        redriven = await guild.letter("redriven")

    logged = await guild.logged(published.event_id)
    assert letter.event == logged
    assert repeated == 0
    assert arrived == [logged, logged]
    assert redriven.event_id == published.event_id


async def test_a_replay_brings_what_matched_once_more(guild: Guild) -> None:
    await guild.bus.ask(put("disks", filter_spec=WANTED))
    await guild.bus.ask(publish(alert("a"), alert("b", level=1), alert("c")))

    async with guild.routed():
        first = await guild.pull(2)
        await guild.bus.ask(acked(first))
        replay = await guild.bus.ask(
            StartReplay(
                context=context(), command_id=key(), subscription="disks", begin=Position(0, 0)
            )
        )
        again = await guild.pull(2)
        await guild.bus.ask(acked(again))
        now = await ended(guild, replay.replay_id)

    assert [one.event for one in again] == [one.event for one in first]
    assert (now.state, now.delivered) == ("completed", 2)
