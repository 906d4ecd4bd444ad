"""The main job as a saga: which sage is asked what, also when events come in an odd order."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import clock
from actors.bus.sagas.engine import SagaState, SagaStatus
from actors.bus.sagas.host import SagaHost
from actors.bus.sagas.incident_loop import INCIDENT_LOOP, SUBSCRIPTION, TYPES, saga_id_of
from actors.events import (
    DossierReady,
    IncidentClosed,
    IncidentCreated,
    IncidentReopened,
    IncidentResolved,
    KnowledgeCreated,
    ReviewPublished,
    SagaFinished,
    StoredEvent,
)
from actors.router.routing import BUILT_IN
from actors.runtime.local import LocalPool
from actors.settings import SagaSettings
from tests.fixtures.incident import GUILD, NOON
from tests.fixtures.saga_builders import delivery, stored
from tests.fixtures.saga_memory import MemorySagaStore
from tests.fixtures.saga_world import World

INCIDENT = clock.derived_id("inc", NOON, "1")
WORDS: dict[str, Any] = {"title": "Slow", "severity": "high", "labels": {}}


def incident(payload: type, version: int, **fields: Any) -> StoredEvent:
    """An event of the incident itself."""
    return stored(payload(incident_id=INCIDENT, **fields), INCIDENT, version)


CREATED = incident(IncidentCreated, 1, description="", **WORDS)
RESOLVED = incident(IncidentResolved, 2, resolution="", root_cause="", resolved_by="x", **WORDS)
REOPENED = incident(IncidentReopened, 3, reason="", reopen_count=1)
AGAIN = incident(IncidentResolved, 4, resolution="", root_cause="", resolved_by="x", **WORDS)
CLOSED = incident(IncidentClosed, 5, reason="reviewed")
WAIVED = incident(IncidentClosed, 5, reason="a drill")
READY = stored(DossierReady(incident_id=INCIDENT, title="", priority="high"), "dos_1")
PUBLISHED = stored(
    ReviewPublished(
        incident_id=INCIDENT, review_id="rev_1", summary="", content="", author_id="x", **WORDS
    ),
    "rev_1",
)


def learned(principal_id: str = "sage.knowledge", *references: str) -> StoredEvent:
    payload = KnowledgeCreated(
        entity_id="know_1",
        title="",
        content="",
        summary="",
        status="active",
        category_id="troubleshooting",
        source_references=references or (INCIDENT, "rev_1"),
    )
    return stored(payload, "know_1", principal_id=principal_id)


class Loop:
    """A bus whose sages are sets."""

    def __init__(self) -> None:
        self.world, self.store = World(), MemorySagaStore()
        host = SagaHost(self.store, self.world.pool, SagaSettings(), [INCIDENT_LOOP])
        self.pool = LocalPool(host.handlers(), self.store)

    async def hears(self, *events: StoredEvent) -> None:
        for event in events:
            await self.pool.ask(delivery(event, SUBSCRIPTION))

    async def state(self) -> SagaState:
        found = await self.store.load(GUILD, saga_id_of(INCIDENT))
        assert found is not None
        return found


async def test_the_loop_asks_each_sage_in_its_turn_and_ends() -> None:
    loop = Loop()

    await loop.hears(CREATED, READY, RESOLVED, PUBLISHED, CLOSED, learned())

    state = await loop.state()
    asked = [name for name in loop.world.order if not name.endswith(".undo")]
    assert asked == [
        "incident.dossier",
        "task.runbook",
        "incident.review",
        "task.incident_resolved",
        "knowledge.review",
        "task.actions",
    ]
    assert (state.status, state.finished) == (SagaStatus.COMPLETED, 1)


async def test_a_dossier_that_comes_after_the_end_makes_no_tasks() -> None:
    loop = Loop()

    await loop.hears(CREATED, RESOLVED, READY)

    assert loop.world.net("task.runbook") == set()
    assert (await loop.state()).steps["tasks"] == "skipped"


async def test_tasks_of_an_incident_that_is_over_are_taken_back() -> None:
    loop = Loop()

    await loop.hears(CREATED, READY, RESOLVED)

    assert loop.world.undid["task.runbook", READY.event_id] == 1
    assert (await loop.state()).steps["tasks"] == "compensated"


async def test_a_reopened_incident_goes_through_the_rest_again() -> None:
    loop = Loop()
    await loop.hears(CREATED, READY, RESOLVED, PUBLISHED, learned())

    await loop.hears(REOPENED)
    reopened = await loop.state()
    await loop.hears(AGAIN, CLOSED)

    assert reopened.facts["phase"] == "open"
    assert loop.world.net("incident.review") == {RESOLVED.event_id, AGAIN.event_id}
    assert (await loop.state()).status is SagaStatus.COMPLETED


async def test_an_end_that_is_delivered_late_does_not_close_what_was_reopened() -> None:
    loop = Loop()

    await loop.hears(CREATED, REOPENED, RESOLVED, READY)

    assert (await loop.state()).facts["phase"] == "open"
    assert loop.world.net("task.runbook") == {READY.event_id}


async def test_a_waived_review_ends_the_loop_without_knowledge() -> None:
    loop = Loop()

    await loop.hears(CREATED, RESOLVED, WAIVED)

    state = await loop.state()
    assert (state.status, state.steps["knowledge"]) == (SagaStatus.COMPLETED, "pending")


@pytest.mark.parametrize(
    "event",
    [learned("user_1"), learned("sage.knowledge", "rev_1"), learned("sage.knowledge", "inc_x")],
)
async def test_other_knowledge_is_none_of_its_business(event: StoredEvent) -> None:
    loop = Loop()

    await loop.hears(event)

    assert await loop.store.load(GUILD, saga_id_of(INCIDENT)) is None


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations([CREATED, READY, RESOLVED, PUBLISHED, CLOSED, learned()]),
    twice=st.lists(st.integers(0, 5), max_size=6),
)
def test_any_order_ends_complete_with_nothing_left_to_do(
    order: list[StoredEvent], twice: list[int]
) -> None:
    # The router keeps the order within one aggregate, not between them.
    of_incident = iter([CREATED, RESOLVED, CLOSED])
    events = [next(of_incident) if one.aggregate_id == INCIDENT else one for one in order]
    loop = Loop()

    asyncio.run(loop.hears(*events, *(events[index] for index in twice)))

    state = asyncio.run(loop.state())
    ends = [one for one in loop.store.happened if isinstance(one, SagaFinished)]
    assert (state.status, state.done, len(ends)) == (SagaStatus.COMPLETED, (), 1)
    assert set(loop.world.did.values()) == {1}
    assert loop.world.net("task.runbook") == set()


def test_every_event_it_asks_for_is_of_use() -> None:
    on = {kind.type for step in INCIDENT_LOOP.steps for kind in step.on}

    learnt = {IncidentReopened.type, IncidentClosed.type, KnowledgeCreated.type}
    assert set(TYPES) == on | learnt


def test_the_router_delivers_to_it_what_it_asks_for() -> None:
    (subscription,) = [one for one in BUILT_IN if one.name == SUBSCRIPTION]

    assert (subscription.pool, subscription.types) == ("bus", TYPES)
