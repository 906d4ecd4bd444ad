"""Which events are about what somebody asked to hear of."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.domain import meaning
from actors.bus.domain.meaning import StandingQueries, Vectors
from actors.bus.sage.meaning import MeaningSage
from actors.bus.store import Standing
from actors.errors import DependencyUnavailable
from actors.events import (
    DeliverEvents,
    IncidentAcknowledged,
    IncidentCreated,
    StoredEvent,
    SubscriptionMatch,
    SubscriptionMatched,
    TaskCreated,
)
from actors.runtime.local import LocalPool
from actors.runtime.message import Context, GuildId, Position
from actors.settings import BusSettings
from tests.fixtures.bus_builders import GUILD, context, key, new_event, stored_event


def told(data: str) -> str | None:
    return meaning.text_of(stored_event(new_event(data=data)), 100)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"title":"Disk full","level":3,"content":"on db1"}', "Disk full\non db1"),
        ('{"summary":"b","name":"a","note":"not read"}', "a\nb"),
        ('{"order":{"items":["lamp",{"made by":"us"}]},"n":1}', "lamp\nus"),
        ('["one",["two"],3,null," "]', "one\ntwo"),
        ('"plain"', "plain"),
        ('{"title":"","x":"y"}', "y"),
        ("3", None),
        ("{}", None),
        ('"' + "x" * 200 + '"', "x" * 100),
    ],
)
def test_an_event_of_somebody_else_is_read_by_its_telling_fields_else_by_all_its_texts(
    data: str, expected: str | None
) -> None:
    assert told(data) == expected


def test_our_own_events_are_read_by_title_and_text() -> None:
    incident = IncidentCreated(
        incident_id="inc_1",
        title="Pool exhausted",
        description="no connections left",
        severity="high",
        labels={"secret": "label"},
    )
    task = TaskCreated(
        task_id="task_1", name="Restart it", description="", status="pending", priority="high"
    )
    silent = IncidentAcknowledged(incident_id="inc_1", acknowledged_by="user_1")

    texts = [meaning.text_of(with_payload(one), 100) for one in (incident, task, silent)]

    assert texts == ["Pool exhausted\nno connections left", "Restart it", None]


def test_what_is_sealed_is_not_read() -> None:
    event = stored_event(new_event(data='{"title":"secret"}'))
    object.__setattr__(event, "sealed_for", "person")

    assert meaning.text_of(event, 100) is None


def with_payload(payload: Any) -> StoredEvent:
    event = stored_event()
    object.__setattr__(event, "payload", payload)
    return event


def unit(*values: float) -> list[float]:
    length = float(np.linalg.norm(values))
    return [value / length for value in values]


def queries(*vectors: Sequence[float], floor: float = 0.5) -> StandingQueries:
    return StandingQueries(
        subscription_ids=tuple(f"sub_{index}" for index in range(len(vectors))),
        vectors=np.array(vectors, dtype=np.float32),
        floors=np.full(len(vectors), floor, dtype=np.float32),
        origins=(Position(0, 0),) * len(vectors),
        wanted=(None,) * len(vectors),
    )


def matches(
    standing: StandingQueries, happened: Sequence[StoredEvent], meanings: Vectors
) -> list[list[SubscriptionMatch]]:
    """For each event its matches."""
    found: list[list[SubscriptionMatch]] = [[] for _ in happened]
    for index, match in meaning.matches(standing, happened, meanings):
        if match is not None:
            found[index].append(match)
    return found


def test_the_closest_subscription_comes_first_and_far_ones_not_at_all() -> None:
    standing = queries(unit(1, 1), unit(1, 0), unit(-1, 0), unit(0, 1))
    meanings = np.array([unit(1, 0.2), unit(-1, -1)], dtype=np.float32)

    first, second = matches(standing, [stored_event(), stored_event()], meanings)

    assert [one.subscription_id for one in first] == ["sub_1", "sub_0"]
    assert first[0].score == pytest.approx(0.980581)
    assert [one.subscription_id for one in second] == ["sub_2"]


@given(st.integers(1, 20), st.integers(1, 5), st.floats(-1, 1), st.integers(0, 2**32 - 1))
def test_matches_are_those_of_comparing_one_by_one(
    number: int, events: int, floor: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    standing = queries(*(unit(*random.normal(size=4)) for _ in range(number)), floor=floor)
    meanings = np.array([unit(*random.normal(size=4)) for _ in range(events)], dtype=np.float32)

    found = matches(standing, [stored_event()] * events, meanings)

    for vector, matched in zip(meanings, found, strict=True):
        scores = [float(vector @ one) for one in standing.vectors]
        sure = {f"sub_{place}" for place, score in enumerate(scores) if score > floor + 1e-5}
        possible = {f"sub_{place}" for place, score in enumerate(scores) if score > floor - 1e-5}
        assert sure <= {one.subscription_id for one in matched} <= possible
        assert [one.score for one in matched] == sorted(
            (one.score for one in matched), reverse=True
        )


BEGINNING = Position(0, 0)


class Store:
    """Standing queries of one guild, and what was committed."""

    def __init__(self) -> None:
        self.number = 1
        self.standing_queries: list[Standing] = []
        self.committed: list[tuple[StoredEvent, SubscriptionMatched]] = []
        self.read = 0

    async def revision(self, guild_id: GuildId) -> int:
        return self.number

    async def standing(self, guild_id: GuildId) -> Sequence[Standing]:
        self.read += 1
        return list(self.standing_queries)

    async def keep(self, guild_id: GuildId, made: Sequence[Standing]) -> None:
        again = {one.subscription_id: one for one in made}
        self.standing_queries = [
            again.get(one.subscription_id, one) for one in self.standing_queries
        ]

    async def commit(
        self, matched: Sequence[tuple[StoredEvent, SubscriptionMatched]], *, cause: DeliverEvents
    ) -> None:
        self.committed += matched

    def ask(
        self, name: str, vector: Sequence[float] | None, origin: Position = BEGINNING, **spec: Any
    ) -> None:
        self.standing_queries.append(Standing(name, {"similar_to": name, **spec}, vector, origin))
        self.number += 1


class Embedder:
    """Texts that say disk point one way, all others another."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.away = False

    async def __call__(self, texts: Sequence[str], _: Context) -> Vectors:
        if self.away:
            raise DependencyUnavailable("embedding")
        self.texts += texts
        return np.array([(1, 0) if "disk" in text else (0, 1) for text in texts], dtype=np.float32)


def by_type(spec: Mapping[str, Any]) -> Callable[[StoredEvent], bool]:
    return lambda event: event.type in spec["types"]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def pool(store: Store, embedder: Embedder) -> LocalPool:
    sage = MeaningSage(
        store,
        BusSettings(),
        compile_filter=by_type,
        embed=embedder,
        render=lambda event: f"<{event.event_id}>",
    )
    return LocalPool(sage.handlers())


def delivered(*data: str, subscription: str = "bus.meaning:g") -> DeliverEvents:
    return DeliverEvents(
        context=context(GUILD),
        command_id=key(),
        subscription=subscription,
        events=tuple(stored_event(new_event(data=one)) for one in data),
    )


async def test_where_nobody_asks_nothing_is_embedded(pool: LocalPool, embedder: Embedder) -> None:
    await pool.ask(delivered('"disk full"'))

    assert embedder.texts == []


async def test_what_matches_is_said_once_with_the_whole_event(
    pool: LocalPool, store: Store, embedder: Embedder
) -> None:
    store.ask("sub_disk", (1, 0))
    store.ask("sub_both", unit(1, 0.5))
    batch = delivered('"disk full"', '"all is well"', "3")

    await pool.ask(batch)

    ((event, said),) = store.committed
    assert event == batch.events[0]
    assert [one.subscription_id for one in said.matches] == ["sub_disk", "sub_both"]
    assert said.event == f"<{event.event_id}>"
    assert embedder.texts == ["disk full", "all is well"]


async def test_a_query_asked_meanwhile_counts_and_nothing_is_read_twice(
    pool: LocalPool, store: Store
) -> None:
    await pool.ask(delivered('"disk full"'))
    await pool.ask(delivered('"disk full"'))
    store.ask("sub_disk", (1, 0))

    await pool.ask(delivered('"disk full"'))
    await pool.ask(delivered('"disk full"'))

    assert (store.read, len(store.committed)) == (2, 2)


async def test_a_query_that_was_put_in_another_model_is_embedded_again_once(
    pool: LocalPool, store: Store, embedder: Embedder
) -> None:
    store.ask("sub_well", (0, 1))
    store.ask("sub_disk", None)

    await pool.ask(delivered('"disk full"'))
    await pool.ask(delivered('"disk full"'))

    matched = [[one.subscription_id for one in said.matches] for _, said in store.committed]
    assert matched == [["sub_disk"], ["sub_disk"]]
    assert embedder.texts == ["sub_disk", "disk full", "disk full"]


async def test_what_was_embedded_again_is_kept_for_the_next_one_who_reads(
    pool: LocalPool, store: Store, embedder: Embedder
) -> None:
    store.ask("sub_disk", None)
    await pool.ask(delivered('"disk full"'))
    store.number += 1

    await pool.ask(delivered('"disk full"'))

    assert store.read == 2
    assert embedder.texts.count("sub_disk") == 1


async def test_score_and_types_of_the_filter_count(pool: LocalPool, store: Store) -> None:
    store.ask("sub_strict", unit(1, 0.5), min_score=0.95)
    store.ask("sub_other", (1, 0), types=["custom.other"])
    store.ask("sub_own", (1, 0), types=["custom.order.placed"])

    await pool.ask(delivered('"disk full"'))

    ((_, said),) = store.committed
    assert [one.subscription_id for one in said.matches] == ["sub_own"]


async def test_what_happened_before_a_subscription_begins_is_not_for_it(
    pool: LocalPool, store: Store, embedder: Embedder
) -> None:
    store.ask("sub_later", (1, 0), origin=Position(1, 1))

    await pool.ask(delivered('"disk full"'))
    store.ask("sub_before", (1, 0), origin=Position(0, 9))
    before = list(embedder.texts)
    await pool.ask(delivered('"disk full"'))

    ((_, said),) = store.committed
    assert before == []
    assert [one.subscription_id for one in said.matches] == ["sub_before"]


async def test_an_embedder_that_is_away_has_the_batch_delivered_again(
    pool: LocalPool, store: Store, embedder: Embedder
) -> None:
    store.ask("sub_disk", (1, 0))
    embedder.away = True

    with pytest.raises(DependencyUnavailable):
        await pool.ask(delivered('"disk full"'))

    assert store.committed == []


async def test_others_have_a_turn_between_the_filters_of_one_event(store: Store) -> None:
    turns: list[str] = []

    def costly(spec: Mapping[str, Any]) -> Callable[[StoredEvent], bool]:
        def wanted(_: StoredEvent) -> bool:
            turns.append("filter")
            return True

        return wanted

    async def another() -> None:
        while True:
            turns.append("another")
            await asyncio.sleep(0)

    for number in range(3):
        store.ask(f"sub_{number}", (1, 0), types=["custom.*"])
    sage = MeaningSage(
        store,
        BusSettings(hold_s=1e-9),
        compile_filter=costly,
        embed=Embedder(),
        render=lambda event: event.event_id,
    )
    task = asyncio.create_task(another())

    await sage.deliver(delivered('"disk full"'))
    task.cancel()

    first = turns.index("filter")
    assert turns[first : first + 5] == ["filter", "another", "filter", "another", "filter"]
