"""Dead letters and replays: what may be asked for."""

from dataclasses import replace
from typing import Any

import pytest

from actors.bus.messages import (
    CancelReplay,
    GetReplay,
    ListDeadLetters,
    ListReplays,
    PoolSink,
    SseSink,
)
from actors.bus.sage.letters import DeadLetterSage
from actors.bus.sage.replays import ReplaySage
from actors.errors import (
    InvalidTransition,
    NotAuthorized,
    NotFound,
    Overloaded,
    ValidationError,
)
from actors.events import KnowledgeCreated
from actors.runtime.local import LocalPool
from actors.runtime.message import Message, Permission
from actors.settings import BusSettings
from tests.fixtures.bus_builders import (
    GUILD,
    OTHER_GUILD,
    context,
    dead_letter,
    key,
    new_subscription,
    put,
    stored_event,
)
from tests.fixtures.bus_contract import discard, redrive, start
from tests.fixtures.bus_memory import (
    MemoryDeadLetterStore,
    MemoryReplayStore,
    MemorySubscriptionStore,
)


class Nudges:
    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> None:
        self.number += 1


@pytest.fixture
def nudges() -> Nudges:
    return Nudges()


@pytest.fixture
def letters() -> MemoryDeadLetterStore:
    return MemoryDeadLetterStore()


@pytest.fixture
async def pool(letters: MemoryDeadLetterStore, nudges: Nudges) -> LocalPool:
    subscriptions, settings = (
        MemorySubscriptionStore(),
        BusSettings(max_redrive=2, max_replays=1, max_replay_speed=10),
    )
    for one in (
        new_subscription(),
        new_subscription("shown", sink=SseSink()),
        new_subscription("worked", sink=PoolSink(pool="task")),
    ):
        await subscriptions.commit(one, origin="end", meaning=None, cause=put())
    replays = ReplaySage(MemoryReplayStore(), subscriptions, settings, nudge=nudges)
    return LocalPool(
        {**DeadLetterSage(letters, settings, nudge=nudges).handlers(), **replays.handlers()}
    )


async def test_redriving_tells_the_router_when_there_is_something(
    pool: LocalPool, letters: MemoryDeadLetterStore, nudges: Nudges
) -> None:
    nothing = await pool.ask(redrive("orders"))
    letters.letters += [dead_letter("orders", stored_event(), age) for age in range(3)]

    number = await pool.ask(redrive("orders"))

    assert (nothing, number, nudges.number) == (0, 2, 1)


async def test_a_letter_is_listed_without_the_event_that_the_caller_may_not_see(
    pool: LocalPool, letters: MemoryDeadLetterStore
) -> None:
    hidden = KnowledgeCreated(
        entity_id="know_1",
        title="who is let go",
        content="",
        summary="",
        status="active",
        category_id="general",
        access_level="private",
    )
    letters.letters += [dead_letter("orders", replace(stored_event(), payload=hidden), 1)]

    page = await pool.ask(ListDeadLetters(context=context()))

    assert [(one.reason, one.event) for one in page.dead_letters] == [("poison", None)]


async def test_discarding_names_what_is_discarded(
    pool: LocalPool, letters: MemoryDeadLetterStore
) -> None:
    letters.letters.append(dead_letter("orders", stored_event(), 0))
    event_id = letters.letters[0].event_id

    assert await pool.ask(discard("orders", event_id)) == 1

    listed = await pool.ask(ListDeadLetters(context=context()))
    assert listed.dead_letters == ()


@pytest.mark.parametrize(
    "message",
    [
        redrive("orders", "a", "b", "c"),
        redrive("orders", ""),
        redrive(" "),
        discard("orders"),
        discard("orders", "a\x00"),
        ListDeadLetters(context=context(), states=("alive",)),
        ListDeadLetters(context=context(), states=()),
        ListDeadLetters(context=context(), limit=0),
        start(speed=-1.0),
        start(speed=11.0),
        start(speed=float("nan")),
        start(subscription="shown"),
        ListReplays(context=context(), limit=0),
    ],
)
async def test_what_makes_no_sense_is_refused(pool: LocalPool, message: Message[Any]) -> None:
    with pytest.raises(ValidationError):
        await pool.ask(message)


async def test_a_replay_is_of_a_subscription_of_the_guild(pool: LocalPool) -> None:
    for missing in (start(subscription="nobody"), start(context=context(OTHER_GUILD))):
        with pytest.raises(NotFound):
            await pool.ask(missing)


async def test_what_a_pool_hears_again_is_for_administrators_to_say(pool: LocalPool) -> None:
    elder = context(GUILD, *(frozenset(Permission) - {Permission.ADMIN}))

    with pytest.raises(NotAuthorized):
        await pool.ask(start(subscription="worked", context=elder))

    assert (await pool.ask(start(subscription="worked"))).state == "running"


async def test_a_replay_is_started_found_and_cancelled(pool: LocalPool, nudges: Nudges) -> None:
    begun = await pool.ask(start())

    with pytest.raises(Overloaded):
        await pool.ask(start())
    found = await pool.ask(GetReplay(context=context(), replay_id=begun.replay_id))
    listed = await pool.ask(ListReplays(context=context()))
    cancel = CancelReplay(context=context(), command_id=key(), replay_id=begun.replay_id)
    cancelled, again = await pool.ask(cancel), await pool.ask(cancel)

    assert (found, listed.replays) == (begun, (begun,))
    assert (cancelled.state, again) == ("cancelled", cancelled)
    assert nudges.number == 2
    with pytest.raises(NotFound):
        await pool.ask(GetReplay(context=context(OTHER_GUILD), replay_id=begun.replay_id))


async def test_a_completed_replay_cannot_be_cancelled() -> None:
    store = MemoryReplayStore()
    begun = await store.start(start(), "replay_1", 1)
    assert begun is not None
    object.__setattr__(begun, "state", "completed")
    pool = LocalPool(ReplaySage(store, MemorySubscriptionStore(), BusSettings()).handlers())

    with pytest.raises(InvalidTransition):
        await pool.ask(CancelReplay(context=context(GUILD), command_id=key(), replay_id="replay_1"))
