"""The fault run's own parts over a real log, sound and broken: what is broken is found.

Publishing, routing and pulling are the product's, in this process; router and consumer die
again and again. A run that finds nothing here would find nothing anywhere.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import ClassVar

import pytest

from actors.bus.actor import BusMember
from actors.bus.messages import PulledEvent
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.sage.publishing import PublishingSage
from actors.events import StoredEvent
from actors.router.postgres import PostgresRouterStore
from actors.router.relay import Relay
from actors.router.sinks.factory import Sinks
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Caller, Context, GuildId, Permission, Position
from actors.settings import BusSettings, GuildSettings
from actors.storage.database import Database, Transaction
from actors.storage.frontier import Frontier
from actors.storage.leaders import Leaders
from actors.storage.log import Advance, LogReader
from benchmarks.faults import effects
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.effects import Books
from benchmarks.faults.joined import Joined
from benchmarks.faults.plan import Workload
from benchmarks.faults.publishers import BusPublisher
from benchmarks.faults.writers import Writer, subscribe
from benchmarks.guildcheck import Entry, Kind, Verdict, judge
from tests.fixtures.one_database import OneDatabase
from tests.fixtures.router import QUICK
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SETTINGS, new_guild, opened

pytestmark = pytest.mark.integration

_PUBLISH_S = 3.0
_SLOWEST_PUBLISH_S = 30.0
_ENOUGH_LINES = 500  # two for each publish
_STILL = 40
_SLOWEST_REST_S = 180.0
_LIVES_S = 0.1, 0.7
_WHOLE_LOG = 100_000

Life = Callable[[], Coroutine[None, None, None]]


class Hosting(OneDatabase):
    """Nobody is told anything, and there are no other pools."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database)
        secret = type(self.settings.database_url)
        self.settings = self.settings.model_copy(update={"database_url": secret(url)})
        self._closers = []

    def nudge_router(self) -> None:
        return None

    def pool(self, name: str) -> LocalPool:
        return LocalPool({})


class Dawdling(Database):
    """Some publishers have their numbers, and commit long after their neighbours."""

    dice = Random(5)  # noqa: S311  # the same delays each time

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[Transaction]:
        async with super().statements() as tx:
            await tx.execute("BEGIN")
            try:
                yield tx
                await self._dawdle(tx)
            except BaseException:
                await tx.execute("ROLLBACK")
                raise
            await tx.execute("COMMIT")

    async def _dawdle(self, tx: Transaction) -> None:
        if self.dice.random() < 0.4:
            await tx.execute("SELECT pg_sleep(0.1)")


class Overtaken(Dawdling):
    """One publisher at a time commits only after the router has passed its numbers."""

    waiting = False

    async def _dawdle(self, tx: Transaction) -> None:
        if self.waiting:
            return
        self.waiting = True
        try:
            mine = await tx.fetchval("SELECT lastval()")
            for _ in range(50):
                if BySequence.passed > mine:
                    return
                await asyncio.sleep(0.02)
        finally:
            self.waiting = False


class BySequence(PostgresRouterStore):
    """Broken: its cursor is the highest sequence number it has seen."""

    passed: ClassVar[int] = 0

    async def advance(self, frontiers: Sequence[Frontier], limit: int) -> list[Advance]:
        log = LogReader(self._database)
        (whole,) = await log.advance([Frontier.at(Position(0, 0))], _WHOLE_LOG)
        return [self._behind(frontier.upto, whole.events) for frontier in frontiers]

    def _behind(self, upto: Position, events: Sequence[StoredEvent]) -> Advance:
        new = sorted(
            (event for event in events if event.position.seq > upto.seq),
            key=lambda event: event.position.seq,
        )
        last = new[-1].position if new else upto
        BySequence.passed = last.seq
        return Advance(new, [], Frontier.at(last), full=False)


class AckingFirst(Consumer):
    """Broken: acknowledges before the commit, which some lives do not see."""

    dice = Random(7)  # noqa: S311  # the same delays each time

    async def handle(self, pulled: Sequence[PulledEvent]) -> None:
        await self.acknowledge(pulled)
        if self.dice.random() < 0.3:
            await asyncio.sleep(_LIVES_S[1])
        await self.commit([one.event for one in pulled])


class WithoutInbox(Consumer):
    """Broken: takes everything for new."""

    async def new_ones(
        self, tx: Transaction, events: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent]:
        return events


@dataclass(frozen=True, kw_only=True)
class Build:
    """The parts a run is made of; the defaults are sound.

    Attributes:
        router_dies: a new one begins at the saved cursor, and so may find what the old one missed.
        loses: not everything takes effect, so who waits for that gives up when nothing moves.
    """

    store: type[PostgresRouterStore] = PostgresRouterStore
    consumer: type[Consumer] = Consumer
    publishing: type[Dawdling] = Dawdling
    router_dies: bool = True
    loses: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run in this process."""

    prepared: PreparedDatabase
    build: Build
    workload: Workload
    app: Database
    across: Database
    bus: LocalPool

    @property
    def context(self) -> Context:
        caller = Caller(
            guild_id=GuildId(self.workload.guild_id),
            principal_id="faults",
            permissions=frozenset(Permission),
        )
        return Context(caller=caller, correlation_id="cor_1")

    async def play(self) -> Verdict:
        """Publishes, routes and consumes for a while, comes to rest, judges."""
        stop, history = asyncio.Event(), io.BytesIO()
        await subscribe(Joined(self.bus, self.context, GuildSettings(), stop), self.workload)
        publisher = BusPublisher(self.bus, self.context, 10.0)
        writers = [
            Writer(number, self.workload, publisher, history)
            for number in range(self.workload.writers)
        ]
        dice = Random(self.workload.seed)  # noqa: S311  # the same lives each time
        router_rests = stop.is_set if self.build.router_dies else lambda: True
        async with (
            _working(_again_and_again(self._route, dice, router_rests)),
            _working(_again_and_again(self._consume, dice, stop.is_set)),
        ):
            publishing = [asyncio.create_task(writer.run(stop)) for writer in writers]
            await self._publish_enough(history)
            stop.set()
            await asyncio.gather(*publishing)
            await self._rest()
        observers = await Books(self.prepared.log_url, self.workload).observers()
        entries = map(Entry.from_line, history.getvalue().splitlines())
        return judge(entries, observers)

    async def _publish_enough(self, history: io.BytesIO) -> None:
        """For a while, and longer on a busy machine."""
        deadline = asyncio.get_running_loop().time() + _SLOWEST_PUBLISH_S
        await asyncio.sleep(_PUBLISH_S)
        while asyncio.get_running_loop().time() < deadline:
            if history.getvalue().count(b"\n") >= _ENOUGH_LINES:
                return
            await asyncio.sleep(0.1)

    async def _rest(self) -> None:
        """Until all has taken effect that will, or long enough."""
        books = Books(self.prepared.log_url, self.workload)
        with suppress(TimeoutError):  # what is missing then is named by the verdict
            async with asyncio.timeout(_SLOWEST_REST_S):
                behind, still = await books.behind(), 0
                while behind and not (self.build.loses and still >= _STILL):
                    await asyncio.sleep(0.1)
                    before, behind = behind, await books.behind()
                    still = still + 1 if behind == before else 0
        await asyncio.sleep(1.5 * self.workload.ack_deadline_s)  # by then all has come again

    async def _route(self) -> None:
        """One router's life."""
        lease = await Leaders(self.across).acquire("router", "test")
        assert lease is not None
        relay = Relay(
            self.build.store(self.across, lease),
            Sinks(lambda _: self.bus, self.across, GuildSettings()),
            QUICK.model_copy(update={"read_batch": 100, "window": 1_000}),
            subscriptions=(),
        )
        await relay.run()

    async def _consume(self) -> None:
        """One consumer's life."""
        consumer = self.build.consumer(self.workload, self.bus, self.app, self.context)
        await consumer.run(asyncio.Event())


async def _again_and_again(life: Life, dice: Random, at_rest: Callable[[], bool]) -> None:
    """Lives that end at any moment; the one at the end lives on."""
    while True:
        living = asyncio.create_task(life())
        try:
            last = at_rest()
            await asyncio.wait([living], timeout=None if last else dice.uniform(*_LIVES_S))
            if living.done():
                living.result()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)


@asynccontextmanager
async def _working(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def play(prepared: PreparedDatabase, build: Build) -> Verdict:
    """A run of its own over a fresh database."""
    await effects.prepare(prepared.owner_url)
    workload = Workload(
        run="t",
        seed=11,
        guild_id=await new_guild(prepared),
        aggregates=40,
        rate=200.0,
        redelivered=0.1,
        ack_deadline_s=1.0,
    )
    async with (
        opened(prepared.app_url, connections=8) as app,
        opened(prepared.log_url, connections=4) as across,
    ):
        dawdling = await build.publishing.open(prepared.app_url, SETTINGS)
        host = Hosting(app, prepared.app_url)
        handlers = await BusMember(MemberIdentity("bus", 1, 0)).open(host)
        overlapping = BusSettings(group_patience_s=1e-3)  # a commit may be overtaken by the next
        publishing = PublishingSage(PostgresPublishingStore(dawdling), overlapping).handlers()
        run = Run(
            prepared=prepared,
            build=build,
            workload=workload,
            app=app,
            across=across,
            bus=LocalPool({**handlers, **publishing}),
        )
        try:
            return await run.play()
        finally:
            await host.close()
            await dawdling.close()


async def test_a_sound_build_is_not_accused_however_often_consumer_and_router_die(
    fresh_database: PreparedDatabase,
) -> None:
    verdict = await play(fresh_database, Build())

    assert verdict.anomalies == ()
    assert verdict.acknowledged > 100
    assert verdict.repeated > 0


async def test_acknowledging_before_the_commit_loses_effects(
    fresh_database: PreparedDatabase,
) -> None:
    verdict = await play(fresh_database, Build(consumer=AckingFirst, loses=True))

    assert verdict.count(Kind.LOST) > 0
    assert {anomaly.observer for anomaly in verdict.anomalies} == {"pulled"}


async def test_a_cursor_of_bare_sequence_numbers_loses_events(
    fresh_database: PreparedDatabase,
) -> None:
    build = Build(store=BySequence, publishing=Overtaken, router_dies=False, loses=True)

    verdict = await play(fresh_database, build)

    assert verdict.count(Kind.LOST) > 0
    assert {anomaly.observer for anomaly in verdict.anomalies} == {"pulled"}


async def test_without_an_inbox_effects_are_doubled(fresh_database: PreparedDatabase) -> None:
    verdict = await play(fresh_database, Build(consumer=WithoutInbox))

    assert verdict.count(Kind.DUPLICATED) > 0
    assert verdict.count(Kind.IMBALANCE) > 0
    assert verdict.count(Kind.LOST) == 0
