"""One saga at a time: what is asked, in which order, and what people see of it."""

from dataclasses import replace
from typing import Any

import pytest

from actors.bus.messages import GetSaga, ListSagas
from actors.bus.sagas.definition import Definition, Step
from actors.bus.sagas.engine import SagaStatus
from actors.bus.sagas.host import SagaHost
from actors.errors import (
    DependencyUnavailable,
    InvalidTransition,
    NotFound,
    ValidationError,
)
from actors.events import IncidentAcknowledged, IncidentAssigned, SagaFinished
from actors.router.deliveries import deliver_event
from actors.runtime.local import LocalPool
from actors.settings import SagaSettings
from tests.fixtures.incident import GUILD, context
from tests.fixtures.saga_builders import delivery, stored, thing_made
from tests.fixtures.saga_memory import MemorySagaStore
from tests.fixtures.saga_world import World

BUILT = IncidentAcknowledged(incident_id="1", acknowledged_by="")
CHECKED = IncidentAssigned(incident_id="1", assignee="")
SAGA = "saga_1"


def step(name: str, on: type, **fields: Any) -> Step:
    return Step(
        name=name, on=(on,), pool="any", command=lambda event: deliver_event(name, event), **fields
    )


def takes_back(name: str) -> Any:
    return lambda event_id, event: replace(
        deliver_event(name, event), command_id=f"{name}.undo/{event_id}"
    )


def definition(*steps: Step) -> Definition:
    return Definition(
        kind="toy",
        subscription="saga.toy",
        saga_id=lambda event: SAGA if event.type.startswith("sage.") else None,
        steps=steps,
        learn=lambda facts, _: facts,
        is_complete=lambda _: False,
    )


TOWER = definition(
    step("base", IncidentAcknowledged, undo=takes_back("base")),
    step("wall", IncidentAcknowledged, undo=takes_back("wall")),
    step("paint", IncidentAcknowledged),
    step("check", IncidentAssigned, refusal="compensate"),
)


class Ground:
    """A host over a memory store."""

    def __init__(self, world: World, kind: Definition = TOWER) -> None:
        self.store = MemorySagaStore()
        self.world = world
        host = SagaHost(self.store, lambda _: world, SagaSettings(), [kind])
        self.pool = LocalPool(host.handlers(), self.store)

    async def steps(self) -> dict[str, str]:
        return dict((await self.pool.ask(GetSaga(context=context(), saga_id=SAGA))).steps)


async def test_a_step_shows_as_done_and_the_others_as_pending() -> None:
    ground = Ground(World())

    await ground.pool.ask(delivery(stored(BUILT)))

    steps = await ground.steps()
    assert steps == {"base": "done", "wall": "done", "paint": "done", "check": "pending"}


async def test_what_was_done_is_undone_the_last_first() -> None:
    ground = Ground(World(refuses=frozenset({"check"})))
    await ground.pool.ask(delivery(stored(BUILT)))

    await ground.pool.ask(delivery(stored(CHECKED)))

    assert ground.world.order[3:] == ["wall.undo", "base.undo"]
    assert await ground.steps() == {
        "base": "compensated",
        "wall": "compensated",
        "paint": "done",
        "check": "failed",
    }
    (ended,) = ground.store.happened
    assert isinstance(ended, SagaFinished)
    assert (ended.outcome, ended.reason[:6]) == ("compensated", "check:")


async def test_an_undo_that_is_refused_makes_the_saga_fail_visibly() -> None:
    ground = Ground(World(refuses=frozenset({"check", "wall.undo"})))
    await ground.pool.ask(delivery(stored(BUILT)))

    await ground.pool.ask(delivery(stored(CHECKED)))

    saga = await ground.pool.ask(GetSaga(context=context(), saga_id=SAGA))
    assert (saga.state, saga.steps["wall"], saga.steps["base"]) == (
        "failed",
        "failed",
        "compensated",
    )
    assert saga.reason.startswith("wall: cannot be undone")


class FickleWorld(World):
    """Refuses once, and would agree the next time; its undos are lost once."""

    def __init__(self) -> None:
        super().__init__()
        self.saw: set[str] = set()

    def _take_effect(self, message: Any) -> None:
        name = message.command_id.partition("/")[0]
        first = name not in self.saw
        self.saw.add(name)
        if first and name == "check":
            raise InvalidTransition("thing", "this", "that")
        if first and name.endswith(".undo"):
            raise DependencyUnavailable("the pool")
        super()._take_effect(message)


async def test_once_it_compensates_there_is_no_way_back() -> None:
    ground, refused = Ground(FickleWorld()), delivery(stored(CHECKED))
    await ground.pool.ask(delivery(stored(BUILT)))

    outcomes = [await ground.pool.ask_outcome(refused) for _ in range(3)]

    state = await ground.store.load(GUILD, SAGA)
    assert [outcome.error is None for outcome in outcomes] == [False, False, True]
    assert state is not None
    assert state.status is SagaStatus.COMPENSATED
    assert ground.world.did["check", refused.event.event_id] == 0
    assert (ground.world.net("base"), ground.world.net("wall")) == (set(), set())


async def test_a_no_that_may_become_a_yes_fails_the_delivery_and_shows() -> None:
    patient = definition(step("base", IncidentAcknowledged), step("wall", IncidentAcknowledged))
    world = World(refuses=frozenset({"wall"}))
    ground, message = Ground(world, patient), delivery(stored(BUILT))
    for _ in range(2):
        with pytest.raises(InvalidTransition):
            await ground.pool.ask(message)
    shown = await ground.pool.ask(GetSaga(context=context(), saga_id=SAGA))
    world.agree()

    await ground.pool.ask(message)

    after = await ground.pool.ask(GetSaga(context=context(), saga_id=SAGA))
    assert (shown.state, shown.steps["wall"], shown.version) == ("running", "failed", 1)
    assert shown.reason.startswith("wall: invalid_transition")
    assert (after.steps, after.reason) == ({"base": "done", "wall": "done"}, "")
    assert world.did["base", message.event.event_id] == 1


async def test_a_pool_that_is_away_is_nothing_to_write_down() -> None:
    ground = Ground(World([1]))

    with pytest.raises(DependencyUnavailable):
        await ground.pool.ask(delivery(stored(BUILT)))

    assert await ground.store.load(GUILD, SAGA) is None


async def test_a_tolerated_no_costs_that_step_alone() -> None:
    lenient = definition(
        step("base", IncidentAcknowledged, refusal="tolerate", undo=takes_back("base")),
        step("wall", IncidentAcknowledged),
    )
    ground = Ground(World(refuses=frozenset({"base"})), lenient)

    await ground.pool.ask(delivery(stored(BUILT)))

    state = await ground.store.load(GUILD, SAGA)
    assert state is not None
    assert await ground.steps() == {"base": "failed", "wall": "done"}
    assert (state.status, state.done) == (SagaStatus.RUNNING, ())


async def test_an_event_of_no_saga_is_acknowledged() -> None:
    ground = Ground(World())

    await ground.pool.ask(delivery(stored(thing_made())))

    assert await ground.store.load(GUILD, SAGA) is None


async def test_an_unknown_saga_is_not_found_and_odd_questions_are_refused() -> None:
    pool = Ground(World()).pool

    with pytest.raises(NotFound):
        await pool.ask(GetSaga(context=context(), saga_id="saga_2"))
    odds: list[dict[str, Any]] = [
        {"limit": 0},
        {"limit": 201},
        {"states": ("asleep",)},
        {"cursor": "\x00"},
    ]
    for odd in odds:
        with pytest.raises(ValidationError):
            await pool.ask(ListSagas(context=context(), **odd))
