"""Reading the log as it grows."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from actors.bus.messages import BrowseEvents, Tail, TailEvents
from actors.bus.sage.reading import ReadingSage
from actors.errors import Overloaded, ValidationError
from actors.events import StoredEvent
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.settings import BusSettings
from actors.storage.frontier import Frontier
from tests.fixtures.bus_builders import context, new_event, stored_event
from tests.fixtures.bus_memory import MemoryReadingStore

FROM_THE_BEGINNING = Frontier.at(Position(0, 0))


class Growth:
    """A pause that lasts until the test says that the log has grown."""

    def __init__(self) -> None:
        self.pauses = 0
        self.grown = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        self.pauses += 1
        await self.grown.wait()
        self.grown.clear()
        return True


def by_type(spec: Mapping[str, Any]) -> Callable[[StoredEvent], bool]:
    return lambda event: event.type in spec.get("types", [event.type])


@pytest.fixture
def store() -> MemoryReadingStore:
    return MemoryReadingStore([])


@pytest.fixture
def growth() -> Growth:
    return Growth()


@pytest.fixture
def sage(store: MemoryReadingStore, growth: Growth) -> ReadingSage:
    settings = BusSettings(max_tails=2, max_page=5)
    return ReadingSage(store, settings, compile_filter=by_type, wake_up=growth)


def tail(**changes: Any) -> TailEvents:
    asked: dict[str, Any] = {"context": context(), "wait_s": 0.0, "limit": 5}
    return TailEvents(**(asked | changes))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_there_is_answered_at_once(
    sage: ReadingSage, store: MemoryReadingStore
) -> None:
    store.events += [stored_event(place=place) for place in (1, 2)]

    answer = await LocalPool(sage.handlers()).ask(tail(frontier=FROM_THE_BEGINNING, wait_s=10.0))

    assert [event.position.seq for event in answer.events] == [1, 2]
    assert answer.resume == Position(2, 2)


async def test_nothing_new_is_an_empty_answer_that_has_moved_on(
    sage: ReadingSage, store: MemoryReadingStore
) -> None:
    store.events.append(stored_event(place=3))

    first = await sage.tail(tail())
    unwanted = await sage.tail(
        tail(frontier=FROM_THE_BEGINNING, filter_spec={"types": ["custom.other"]})
    )

    assert (first.events, first.resume) == ((), Position(3, 3))
    assert (unwanted.events, unwanted.resume) == ((), Position(3, 3))


async def test_pages_without_a_wanted_event_are_passed_over(
    sage: ReadingSage, store: MemoryReadingStore
) -> None:
    store.events += [stored_event(place=place) for place in range(1, 13)]
    store.events.append(stored_event(new_event(type="custom.rare"), place=13))

    answer = await sage.tail(
        tail(frontier=FROM_THE_BEGINNING, filter_spec={"types": ["custom.rare"]})
    )

    assert [event.position.seq for event in answer.events] == [13]


async def test_what_was_passed_over_counts_when_the_time_is_up(
    store: MemoryReadingStore, growth: Growth
) -> None:
    store.events += [stored_event(place=place) for place in range(1, 13)]
    settings = BusSettings(max_page=5, tail_wait_s=1e-9)
    hurried = ReadingSage(store, settings, compile_filter=by_type, wake_up=growth)

    answer = await hurried.tail(
        tail(frontier=FROM_THE_BEGINNING, filter_spec={"types": ["custom.rare"]})
    )

    assert (answer.events, answer.resume) == ((), Position(5, 5))


async def test_who_waits_hears_of_the_next_event_and_all_share_one_pause(
    sage: ReadingSage, store: MemoryReadingStore, growth: Growth
) -> None:
    waiting = [asyncio.create_task(sage.tail(tail(wait_s=10.0))) for _ in range(2)]
    await settled()

    store.events.append(stored_event())
    growth.grown.set()
    answers: list[Tail] = await asyncio.gather(*waiting)

    assert [len(answer.events) for answer in answers] == [1, 1]
    assert growth.pauses == 1
    assert sage.tails == 0


async def test_one_who_stops_waiting_does_not_end_the_others_pause(
    sage: ReadingSage, store: MemoryReadingStore, growth: Growth
) -> None:
    gone, stays = (asyncio.create_task(sage.tail(tail(wait_s=10.0))) for _ in range(2))
    await settled()

    gone.cancel()
    await settled()
    store.events.append(stored_event())
    growth.grown.set()

    assert len((await stays).events) == 1
    assert (growth.pauses, sage.tails) == (1, 0)


async def test_a_member_feeds_so_many_tails(sage: ReadingSage) -> None:
    waiting = [asyncio.create_task(sage.tail(tail(wait_s=10.0))) for _ in range(2)]
    await settled()

    with pytest.raises(Overloaded):
        await sage.tail(tail())

    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert sage.tails == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": 0},
        {"limit": 6},
        {"wait_s": -1.0},
        {"filter_spec": {"kinds": ["custom.*"]}},
        {"filter_spec": {"min_score": 0.5}},
        {"filter_spec": {"similar_to": "disk full"}},
    ],
)
async def test_what_cannot_be_asked_is_refused(sage: ReadingSage, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await sage.tail(tail(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": 6},
        {"types": ("x" * 501,)},
        {"types": ("x",) * 101},
        {"types": ("",)},
        {"subject": "\x00"},
        {"correlation_id": "\ud800"},
    ],
)
async def test_what_cannot_be_looked_for_is_refused(
    sage: ReadingSage, changes: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {"context": context(), "limit": 5}

    with pytest.raises(ValidationError):
        await sage.browse(BrowseEvents(**(asked | changes)))
