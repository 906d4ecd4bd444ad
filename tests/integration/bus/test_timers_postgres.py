"""Durable timers on PostgreSQL: what fires, once, and under whose lease."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from actors import clock
from actors.events import Priority, StoredEvent, TimerFired
from actors.runtime.message import GuildId
from actors.storage import timers
from actors.storage.database import Database
from actors.storage.leaders import Leaders, LeadershipLost, Lease
from actors.storage.log import BEGINNING, LogReader
from actors.storage.timers import NewTimer
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import new_guild, note, opened, run_as_owner

pytestmark = pytest.mark.integration

LONG_AGO = datetime.now(UTC) - timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Ground:
    prepared: PreparedDatabase
    app: Database
    across: Database
    guild: GuildId
    lease: Lease

    async def set(self, due_at: datetime = LONG_AGO, cron: str | None = None) -> str:
        timer = NewTimer(
            timer_id=clock.new_id("timer"), name="tea", due_at=due_at, cron=cron, data={"cup": 1}
        )
        async with self.app.transaction(self.guild) as tx:
            await timers.schedule(tx, timer, cause=note(self.guild), correlation_id="cor_9")
        return timer.timer_id

    async def cancel(self, timer_id: str) -> bool:
        async with self.app.transaction(self.guild) as tx:
            return await timers.cancel(tx, self.guild, timer_id)

    async def fire(self, limit: int = 100) -> int:
        return await timers.fire_due(self.across, self.lease, limit)

    async def fired(self) -> list[tuple[StoredEvent, TimerFired]]:
        events = await LogReader(self.across).read(BEGINNING, 1000)
        return [(one, one.payload) for one in events if isinstance(one.payload, TimerFired)]

    async def row(self, timer_id: str) -> tuple[str, int, datetime]:
        async with self.app.read(self.guild) as tx:
            found = await tx.fetchrow(
                "SELECT state, fired, due_at FROM timers WHERE timer_id = $1", timer_id
            )
        assert found is not None
        return found["state"], found["fired"], found["due_at"]


@pytest.fixture
async def ground(fresh_database: PreparedDatabase) -> AsyncIterator[Ground]:
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as across,
    ):
        lease = await Leaders(across).acquire("router", "the test")
        assert lease is not None
        yield Ground(fresh_database, app, across, guild, lease)


async def test_a_timer_fires_once_when_it_is_due_and_says_so_in_the_log(ground: Ground) -> None:
    timer_id = await ground.set()

    counts = [await ground.fire(), await ground.fire()]

    ((event, payload),) = await ground.fired()
    state, fired, _ = await ground.row(timer_id)
    assert counts == [1, 0]
    assert (state, fired) == ("fired", 1)
    assert (payload.timer_id, payload.name, payload.occurrence) == (timer_id, "tea", 1)
    assert (payload.data, payload.due_at) == ({"cup": 1}, LONG_AGO)
    assert (event.guild_id, event.aggregate_id) == (ground.guild, timer_id)
    assert (event.correlation_id, event.priority) == ("cor_9", Priority.HIGH)
    assert (event.aggregate_version, event.principal_id) == (1, "system:router")


async def test_what_is_not_due_or_was_cancelled_does_not_fire(ground: Ground) -> None:
    later = await ground.set(datetime.now(UTC) + timedelta(hours=1))
    given_up = await ground.set()
    cancelled = [await ground.cancel(given_up), await ground.cancel(given_up)]

    count = await ground.fire()

    assert (count, cancelled) == (0, [True, False])
    assert (await ground.row(later))[0] == "pending"
    assert (await ground.row(given_up))[0] == "cancelled"


async def test_a_cron_timer_that_was_missed_for_days_fires_once_and_goes_on(
    ground: Ground,
) -> None:
    timer_id = await ground.set(cron="*/5 * * * *")

    await ground.fire()
    await ground.fire()

    state, fired, due_at = await ground.row(timer_id)
    assert (state, fired) == ("pending", 1)
    assert timedelta(0) < due_at - datetime.now(UTC) <= timedelta(minutes=5)


async def test_each_firing_of_a_cron_timer_is_the_next_version_of_its_aggregate(
    ground: Ground,
) -> None:
    await ground.set(cron="*/5 * * * *")
    for _ in range(3):
        await ground.fire()
        await run_as_owner(
            ground.prepared,
            "ALTER TABLE timers NO FORCE ROW LEVEL SECURITY;"
            " UPDATE timers SET due_at = now();"
            " ALTER TABLE timers FORCE ROW LEVEL SECURITY",
        )

    seen = await ground.fired()

    assert [event.aggregate_version for event, _ in seen] == [1, 2, 3]
    assert [payload.occurrence for _, payload in seen] == [1, 2, 3]


async def test_a_batch_takes_the_most_overdue_first(ground: Ground) -> None:
    ids = [await ground.set(LONG_AGO + timedelta(minutes=minute)) for minute in (2, 0, 1)]

    counts = [await ground.fire(limit=2), await ground.fire(limit=2)]

    seen = [payload.timer_id for _, payload in await ground.fired()]
    assert counts == [2, 1]
    assert set(seen[:2]) == {ids[1], ids[2]}
    assert seen[2] == ids[0]


async def test_who_does_not_lead_any_more_fires_nothing(ground: Ground) -> None:
    timer_id = await ground.set()
    await Leaders(ground.across).acquire("router", "somebody newer")

    with pytest.raises(LeadershipLost):
        await ground.fire()

    assert (await ground.row(timer_id))[0] == "pending"
    assert await ground.fired() == []


async def test_two_that_fire_at_a_time_never_fire_one_timer_twice(ground: Ground) -> None:
    ids = {await ground.set() for _ in range(30)}

    counts = await asyncio.gather(*(ground.fire(limit=7) for _ in range(8)))

    seen = [payload.timer_id for _, payload in await ground.fired()]
    assert sum(counts) == len(seen) == len(ids)
    assert set(seen) == ids


async def test_a_timer_that_is_being_cancelled_is_passed_over(ground: Ground) -> None:
    timer_id = await ground.set()

    async with ground.app.transaction(ground.guild) as tx:
        cancelled = await timers.cancel(tx, ground.guild, timer_id)
        count = await ground.fire()

    assert (cancelled, count) == (True, 0)
    assert (await ground.row(timer_id))[0] == "cancelled"


async def test_a_timer_of_a_transaction_that_failed_is_none(ground: Ground) -> None:
    timer = NewTimer(timer_id=clock.new_id("timer"), name="tea", due_at=LONG_AGO)

    with suppress(RuntimeError):
        async with ground.app.transaction(ground.guild) as tx:
            await timers.schedule(tx, timer, cause=note(ground.guild))
            raise RuntimeError

    assert await ground.fire() == 0
