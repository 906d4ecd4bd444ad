"""From the message to the acknowledgement."""

import pytest

from actors import metrics
from actors.bus.sage.publishing import PublishingSage
from actors.errors import ValidationError
from actors.runtime.local import LocalPool
from actors.settings import BusSettings
from tests.fixtures.bus_builders import new_event, publish
from tests.fixtures.bus_memory import MemoryPublishingStore


@pytest.fixture
def store() -> MemoryPublishingStore:
    return MemoryPublishingStore()


@pytest.fixture
def pool(store: MemoryPublishingStore) -> LocalPool:
    return LocalPool(PublishingSage(store, BusSettings()).handlers())


async def test_the_answer_names_every_event_in_order_and_the_place_of_the_last(
    pool: LocalPool, store: MemoryPublishingStore
) -> None:
    outcome = await pool.ask_outcome(publish(new_event("1"), new_event("2")))

    published = outcome.unwrap()
    assert [one.event_id for one in published] == [line.event_id for _, line, _, _ in store.log]
    assert outcome.position == published[1].position


async def test_a_repeat_answers_the_first_place(pool: LocalPool) -> None:
    (first,) = await pool.ask(publish(new_event("1")))

    outcome = await pool.ask_outcome(publish(new_event("1")))

    (again,) = outcome.unwrap()
    assert (again.event_id, again.duplicate) == (first.event_id, True)
    assert outcome.position == first.position


async def test_what_may_not_be_published_writes_nothing(
    pool: LocalPool, store: MemoryPublishingStore
) -> None:
    with pytest.raises(ValidationError):
        await pool.ask(publish(new_event(), new_event(type="sage.task.created")))

    assert store.log == []


async def test_events_are_counted_once_by_registered_type(pool: LocalPool) -> None:
    before = _counted("custom.event")

    await pool.ask(publish(new_event("1"), new_event("2"), new_event("1")))
    await pool.ask(publish(new_event("1")))

    assert _counted("custom.event") - before == 2


def _counted(name: str) -> float:
    return metrics.REGISTRY.get_sample_value("events_published_total", {"type": name}) or 0.0
