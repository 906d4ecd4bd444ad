"""X1, X2, X4 and X5: what an earlier event bus got wrong, each with a test that would have told.

X3, events lost before they reached PostgreSQL, is in
``tests/integration/bus/test_publishing_survives.py``; X4 of a pool's mailbox, without a database,
in ``tests/unit/runtime/test_mailbox.py``.
"""

import asyncio
from itertools import pairwise

import asyncpg
import pytest

from actors.bus.messages import ListDeadLetters, NewEvent, PublishEvents, RedriveDeadLetters
from actors.bus.postgres.letters import PostgresDeadLetterStore
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.sage.letters import DeadLetterSage
from actors.bus.sage.publishing import PublishingSage
from actors.errors import Overloaded
from actors.events import DeliverEvent, Priority
from actors.runtime.local import LocalPool
from actors.settings import BusSettings
from actors.storage.dead_letters import DeadLetters
from actors.storage.inbox import Inbox
from tests.fixtures.bus_builders import context, key, new_event
from tests.integration.router.conftest import (
    ALL,
    NUMBERS,
    Ground,
    running,
    until_drained,
)

pytestmark = pytest.mark.integration


async def test_x1_a_handler_that_raises_is_tried_again_later_and_then_given_up_with_its_reason(
    ground: Ground,
) -> None:
    """X1: a failed handler counted as completed; retry and dead letter were never reached."""
    loop = asyncio.get_running_loop()
    numbers = NUMBERS.model_copy(update={"max_attempts": 3, "backoff_s": (0.1, 0.3)})
    tried_at: list[float] = []

    async def broken(_: DeliverEvent) -> None:
        tried_at.append(loop.time())
        raise RuntimeError("a bug")

    pool = LocalPool({DeliverEvent: broken}, Inbox(ground.app))
    await ground.publish("inc_1", 0)

    async with running(ground, pool, numbers) as relay:
        await until_drained(relay)
        (state,) = await relay.states()

    (letter,) = await DeadLetters(ground.across).waiting("task.all", 10)
    first, second = (later - earlier for earlier, later in pairwise(tried_at))
    assert len(tried_at) == 3
    assert first >= 0.1
    assert second >= 0.3
    assert (state.delivered, state.failed, state.given_up) == (0, 3, 1)
    assert (letter.attempts, letter.reason) == (3, "internal_error: an unexpected failure")


async def test_x2_behind_a_thousand_low_events_a_critical_one_goes_first_and_the_low_ones_finish(
    ground: Ground,
) -> None:
    """X2: the priority was never used, and what the caller said was dropped on the way."""
    critical_is_done = asyncio.Event()

    async def handle(message: DeliverEvent) -> None:
        if message.event.priority is Priority.LOW:
            await critical_is_done.wait()
        await ground.take_effect(message)
        if message.event.priority is Priority.CRITICAL:
            critical_is_done.set()

    numbers = NUMBERS.model_copy(update={"window": 4000, "read_batch": 500, "ack_timeout_s": 20})
    low = [new_event(partition_key=str(number), priority=Priority.LOW) for number in range(1000)]
    await _publish(ground, *low)
    await _publish(ground, new_event(partition_key="urgent", priority=Priority.CRITICAL))

    async with running(ground, LocalPool({DeliverEvent: handle}, Inbox(ground.app)), numbers) as on:
        await until_drained(on)

    effects = await ground.effects("task.all")
    async with ground.app.read(ground.guild) as tx:
        stored = await tx.fetch("SELECT priority, count(*) AS number FROM events GROUP BY priority")
    assert effects[0] == (effects[0][0], 1)
    assert effects[0][0].endswith("urgent")
    assert len(set(effects)) == len(effects) == 1001
    assert {row["priority"]: row["number"] for row in stored} == {"low": 1000, "critical": 1}


async def test_x4_a_publisher_that_is_one_too_many_is_refused_at_once_and_nobody_is_dropped(
    ground: Ground,
) -> None:
    """X4: "queue full" was dead code: publishers were blocked for ever, or events dropped."""
    settings = BusSettings(max_waiting_events=20, group_events=5, retry_after_s=2.5)
    sage = PublishingSage(PostgresPublishingStore(ground.app), settings)
    pool = LocalPool(sage.handlers())
    blocker = await asyncpg.connect(ground.prepared.admin_url)

    async with blocker.transaction():
        await blocker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        publishing = [
            asyncio.create_task(pool.ask(_publishing(ground, new_event(str(number)))))
            for number in range(60)
        ]
        refused, accepted = await asyncio.wait(publishing, timeout=1)
    await blocker.close()
    acknowledged = {one.event_id for answer in await asyncio.gather(*accepted) for one in answer}

    errors = [one.exception() for one in refused]
    async with ground.app.read(ground.guild) as tx:
        kept = {row["event_id"] for row in await tx.fetch("SELECT event_id FROM events")}
    assert [error.retry_after_s for error in errors if isinstance(error, Overloaded)] == [2.5] * 40
    assert len(accepted) == 20
    assert kept == acknowledged


async def test_x5_a_dead_letter_outlives_the_router_is_delivered_once_more_and_says_for_whom(
    ground: Ground,
) -> None:
    """X5: dead letters were kept in memory, and nobody could read them."""
    broken = True

    async def handle(message: DeliverEvent) -> None:
        if broken:
            raise RuntimeError("a bug")
        await ground.take_effect(message)

    pool = LocalPool({DeliverEvent: handle}, Inbox(ground.app))
    letters = LocalPool(
        DeadLetterSage(PostgresDeadLetterStore(ground.app), BusSettings()).handlers()
    )
    await ground.publish("inc_1", 0)
    async with running(ground, pool) as relay:
        await until_drained(relay)

    broken = False
    async with running(ground, pool) as relay:
        listed = await letters.ask(ListDeadLetters(context=context(ground.guild)))
        asked = [await letters.ask(_redrive(ground)) for _ in range(2)]
        await _until_nothing_waits(DeadLetters(ground.across))
        await until_drained(relay)

    (letter,) = listed.dead_letters
    done = await letters.ask(ListDeadLetters(context=context(ground.guild), states=("redriven",)))
    (redriven,) = done.dead_letters
    async with ground.app.read(ground.guild) as tx:
        said = await tx.fetch(
            "SELECT data->>'requested_by' AS who, causation_id FROM events"
            " WHERE type = 'system.delivery.redriven'"
        )
    assert (letter.attempts, letter.state) == (NUMBERS.max_attempts, "waiting")
    assert asked == [1, 0]
    assert await ground.effects("task.all") == [("inc_1", 1)]
    assert redriven.redriven_at is not None
    assert redriven.redriven_at > letter.dead_at
    assert redriven.requested_by == "user_1"
    assert [tuple(row) for row in said] == [("user_1", letter.event_id)]


async def _until_nothing_waits(letters: DeadLetters) -> None:
    async with asyncio.timeout(10):
        while True:
            if not await letters.counts():
                return
            await asyncio.sleep(0.02)


async def _publish(ground: Ground, *events: NewEvent) -> None:
    sage = PublishingSage(PostgresPublishingStore(ground.app), BusSettings())
    await sage.publish(_publishing(ground, *events))


def _publishing(ground: Ground, *events: NewEvent) -> PublishEvents:
    return PublishEvents(context=context(ground.guild), command_id=key(), events=events)


def _redrive(ground: Ground) -> RedriveDeadLetters:
    return RedriveDeadLetters(
        context=context(ground.guild), command_id=key(), subscription=ALL.letters
    )
