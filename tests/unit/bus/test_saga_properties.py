"""Whatever order, repetition and failure deliveries come in, a saga ends where it should."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bus.sagas.definition import Definition, Facts, Step
from actors.bus.sagas.engine import SagaState, SagaStatus
from actors.bus.sagas.host import SagaHost
from actors.errors import DependencyUnavailable
from actors.events import (
    DeliverEvent,
    IncidentAcknowledged,
    IncidentAssessing,
    IncidentAssigned,
    IncidentClosed,
    Payload,
    SagaFinished,
    StoredEvent,
)
from actors.router.deliveries import deliver_event
from actors.runtime.local import LocalPool
from actors.settings import SagaSettings
from tests.fixtures.incident import GUILD
from tests.fixtures.saga_builders import delivery, stored
from tests.fixtures.saga_memory import MemorySagaStore
from tests.fixtures.saga_world import World

SAGA = "saga_1"
Built, Checked, Stopped, Ended = (
    IncidentAcknowledged(incident_id="1", acknowledged_by=""),
    IncidentAssigned(incident_id="1", assignee=""),
    IncidentAssessing(incident_id="1"),
    IncidentClosed(incident_id="1", reason=""),
)


def asks(name: str) -> Any:
    return lambda event: deliver_event(name, event)


def takes_back(name: str) -> Any:
    return lambda event_id, event: replace(
        deliver_event(name, event), command_id=f"{name}.undo/{event_id}"
    )


def learn(facts: Facts, event: StoredEvent) -> dict[str, Any]:
    match event.payload:
        case IncidentAssessing():
            return {**facts, "stopped": True}
        case IncidentClosed():
            return {**facts, "ended": True}
        case _:
            return dict(facts)


TOY = Definition(
    kind="toy",
    subscription="saga.toy",
    saga_id=lambda _: SAGA,
    steps=(
        Step(
            name="build",
            on=(IncidentAcknowledged,),
            pool="a",
            command=asks("build"),
            wanted=lambda facts: "stopped" not in facts,
            undo=takes_back("build"),
        ),
        Step(name="tell", on=(IncidentAcknowledged,), pool="b", command=asks("tell")),
        Step(
            name="check",
            on=(IncidentAssigned,),
            pool="a",
            command=asks("check"),
            undo=takes_back("check"),
            refusal="compensate",
        ),
        Step(name="sweep", on=(IncidentAssessing,), pool="b", command=asks("sweep")),
    ),
    learn=learn,
    is_complete=lambda facts: bool(facts.get("ended")),
)


class RoughStore(MemorySagaStore):
    """One that is away at times, before or after it has written."""

    def __init__(self, chaos: Iterable[int]) -> None:
        super().__init__()
        self._chaos = iter(chaos)

    async def keep(self, state: SagaState) -> SagaState:
        fate = next(self._chaos, 0)
        if fate == 1:
            raise DependencyUnavailable("postgres")
        return await super().keep(state)

    async def commit(
        self, state: SagaState, cause: DeliverEvent, happened: Sequence[Payload]
    ) -> None:
        await super().commit(state, cause, happened)
        if next(self._chaos, 0) == 2:
            raise DependencyUnavailable("postgres")


async def until_acknowledged(pool: LocalPool, message: DeliverEvent) -> None:
    """What the router does."""
    for _ in range(200):
        outcome = await pool.ask_outcome(message)
        if outcome.error is None:
            return
        assert outcome.error.retryable, outcome.error
        await asyncio.sleep(0)
    raise AssertionError("it is delivered for ever")


async def played(
    events: Sequence[StoredEvent], world: World, store: MemorySagaStore, *, copies: int
) -> SagaState:
    """Everything at once, so that each step of one meets each of another."""
    members = [
        LocalPool(
            SagaHost(store, world.pool, SagaSettings(commit_attempts=3), [TOY]).handlers(), store
        )
        for _ in range(copies)
    ]
    await asyncio.gather(
        *(until_acknowledged(member, delivery(event)) for event in events for member in members)
    )
    await world.calm_down()
    state = await store.load(GUILD, SAGA)
    assert state is not None
    return state


def events_of(kinds: Sequence[Payload]) -> list[StoredEvent]:
    return [stored(kind, aggregate_id=str(index)) for index, kind in enumerate(kinds)]


def ids(events: Sequence[StoredEvent], kind: Payload) -> set[str]:
    return {event.event_id for event in events if event.payload is kind}


KINDS = st.lists(st.sampled_from([Built, Checked, Stopped, Ended]), min_size=1, max_size=6)
CHAOS = st.lists(st.integers(0, 8), max_size=40)


@settings(max_examples=150, deadline=None)
@given(kinds=KINDS, trouble=CHAOS, away=CHAOS, copies=st.integers(1, 2))
def test_each_action_runs_once_and_what_is_wanted_no_longer_is_undone(
    kinds: list[Payload], trouble: list[int], away: list[int], copies: int
) -> None:
    events, world, store = events_of(kinds), World(trouble), RoughStore(away)

    state = asyncio.run(played(events, world, store, copies=copies))

    assert set(world.did.values()) | set(world.undid.values()) <= {1}
    assert world.net("build") == (set() if Stopped in kinds else ids(events, Built))
    assert world.net("tell") == ids(events, Built)
    assert world.net("check") == ids(events, Checked)
    assert world.net("sweep") == ids(events, Stopped)
    assert state.status is (SagaStatus.COMPLETED if Ended in kinds else SagaStatus.RUNNING)
    assert len(store.happened) == state.finished == (Ended in kinds)


@settings(max_examples=150, deadline=None)
@given(kinds=KINDS, trouble=CHAOS, away=CHAOS, copies=st.integers(1, 2))
def test_after_a_refusal_nothing_that_can_be_undone_stands(
    kinds: list[Payload], trouble: list[int], away: list[int], copies: int
) -> None:
    events, store = events_of([*kinds, Checked]), RoughStore(away)
    world = World(trouble, refuses=frozenset({"check"}))

    state = asyncio.run(played(events, world, store, copies=copies))

    (ended,) = [one for one in store.happened if isinstance(one, SagaFinished)][-1:]
    assert set(world.did.values()) | set(world.undid.values()) <= {1}
    assert (world.net("build"), world.net("check")) == (set(), set())
    assert state.status is SagaStatus.COMPENSATED
    assert state.reason.startswith("check: invalid_transition")
    assert (ended.outcome, state.done) == ("compensated", ())
