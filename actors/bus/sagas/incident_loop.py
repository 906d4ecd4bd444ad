"""The guild's main job: from an incident to knowledge that the next incident is shown.

Each step asks a sage to handle the event under the name that the step has had since before there
were sagas: ``<name>/<event id>`` is what its inbox knows the work by.

An incident's steps and those of its dossier are events of different aggregates, which may arrive
in any order. Therefore runbook tasks are wanted only while the incident is open, and are taken
back when they turn out to have been made for one that was over by then.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from actors.bus.sagas.definition import Definition, Facts, Step
from actors.clock import ID_PATTERN
from actors.events import (
    DeliverEvent,
    DossierReady,
    IncidentClosed,
    IncidentCreated,
    IncidentReopened,
    IncidentResolved,
    KnowledgeCreated,
    ReviewPublished,
    StoredEvent,
)
from actors.router.deliveries import deliver_event

KIND = "incident.loop"
SUBSCRIPTION = "saga.incident_loop"

_ID = re.compile(ID_PATTERN)
_KNOWLEDGE_SAGE = "sage.knowledge"
_REVIEWED = "reviewed"


def saga_id_of(incident_id: str) -> str:
    """One incident, one saga: only the prefix differs."""
    return f"saga_{incident_id.removeprefix('inc_')}"


def _saga_id(event: StoredEvent) -> str | None:
    incident_id = _incident_id(event)
    if incident_id.startswith("inc_") and _ID.fullmatch(incident_id):
        return saga_id_of(incident_id)
    return None


def _incident_id(event: StoredEvent) -> str:
    match event.payload:
        case (
            IncidentCreated()
            | DossierReady()
            | IncidentResolved()
            | IncidentReopened()
            | IncidentClosed()
            | ReviewPublished()
        ) as payload:
            return payload.incident_id
        case KnowledgeCreated() as payload if event.principal_id == _KNOWLEDGE_SAGE:
            # What the sage itself writes are published reviews; they name their incident first.
            return next(iter(payload.source_references), "")
        case _:
            return ""


def _learn(facts: Facts, event: StoredEvent) -> dict[str, Any]:
    """``phase`` is open, resolved or closed, as of the incident's version ``phase_of``."""
    learnt = dict(facts)

    def enter(phase: str) -> None:
        if event.aggregate_version > learnt.get("phase_of", 0):
            learnt.update(phase=phase, phase_of=event.aggregate_version)

    match event.payload:
        case IncidentCreated() | IncidentReopened():
            enter("open")
        case IncidentResolved():
            enter("resolved")
        case IncidentClosed(reason=reason):
            enter("closed")
            learnt["waived"] = reason != _REVIEWED
        case KnowledgeCreated():
            learnt["learned"] = True
        case _:
            pass
    return learnt


def _is_open(facts: Facts) -> bool:
    return bool(facts.get("phase", "open") == "open")


def _is_complete(facts: Facts) -> bool:
    """Closed, and what it taught is knowledge, unless somebody waived that."""
    return facts.get("phase") == "closed" and bool(facts.get("waived") or facts.get("learned"))


def _as(name: str) -> Callable[[StoredEvent], DeliverEvent]:
    return lambda event: deliver_event(name, event)


def _take_back(name: str) -> Callable[[str, StoredEvent], DeliverEvent]:
    def undo(event_id: str, event: StoredEvent) -> DeliverEvent:
        message = deliver_event(f"{name}.undo", event)
        return replace(message, command_id=f"{name}.undo/{event_id}")

    return undo


INCIDENT_LOOP = Definition(
    kind=KIND,
    subscription=SUBSCRIPTION,
    saga_id=_saga_id,
    steps=(
        Step(
            name="dossier",
            on=(IncidentCreated,),
            pool="incident",
            command=_as("incident.dossier"),
        ),
        Step(
            name="tasks",
            on=(DossierReady,),
            pool="task",
            command=_as("task.runbook"),
            wanted=_is_open,
            undo=_take_back("task.runbook"),
            refusal="tolerate",
        ),
        Step(
            name="review",
            on=(IncidentResolved,),
            pool="incident",
            command=_as("incident.review"),
        ),
        Step(
            name="settle",
            on=(IncidentResolved,),
            pool="task",
            command=_as("task.incident_resolved"),
        ),
        Step(
            name="knowledge",
            on=(ReviewPublished,),
            pool="knowledge",
            command=_as("knowledge.review"),
        ),
        Step(
            name="actions",
            on=(ReviewPublished,),
            pool="task",
            command=_as("task.actions"),
        ),
    ),
    learn=_learn,
    is_complete=_is_complete,
)

TYPES = (
    IncidentCreated.type,
    DossierReady.type,
    IncidentResolved.type,
    IncidentReopened.type,
    IncidentClosed.type,
    ReviewPublished.type,
    KnowledgeCreated.type,
)
"""What the subscription asks for."""
