"""What the other sages' events mean for search. Pure.

Each event is applied to what search knew before, so the store keeps a source's text. An event
that is not newer than that changes nothing: the router delivers at least once.
"""

from collections.abc import Sequence
from dataclasses import replace

from actors import access, events
from actors.events import AlertSummary, SourceType, StoredEvent
from actors.rag.domain import MAX_NAMES, MAX_TITLE, Indexed

_HIDDEN_STATUS = frozenset({"deleted", "archived", "inactive"})
_ALERT_LINES = 50

SUBSCRIPTION = "rag.projection"
"""Brings the others' events to the rows."""

OTHERS_REMOVALS = ("sage.knowledge.deleted", "sage.task.deleted")
"""Types of the events by which another sage's source leaves every search."""

REMOVALS = ("sage.rag.document.deleted", *OTHERS_REMOVALS)
"""Types of the events by which a source leaves every search."""

CLOSINGS = ("sage.knowledge.updated",)
"""Types of those by which it may, where the access level that they bear is not open."""

_INDEX_ENTRY = "/index"


def index_entry(source_id: str) -> str:
    """The aggregate of a source's passages, which has versions of its own."""
    return f"{source_id}{_INDEX_ENTRY}"


def source_id_of(aggregate_id: str) -> str:
    """The source that an event of it, or of its passages, is about."""
    return aggregate_id.removesuffix(_INDEX_ENTRY)


def leaves(event: StoredEvent) -> bool:
    """Whether a source leaves every search by this event, as far as the event alone says."""
    if event.type in REMOVALS:
        return True
    knowledge = event.payload if isinstance(event.payload, events.KnowledgeUpdated) else None
    return knowledge is not None and knowledge.access_level not in access.OPEN


def project(before: Indexed | None, event: StoredEvent, max_chars: int) -> Indexed | None:
    """The source after the event; None where search has nothing to do with it.

    Args:
        before: what search knows of the event's aggregate.
        event: of the Knowledge, Incident or Task sage.
        max_chars: of the text; the rest is not found.
    """
    if before is not None and event.aggregate_version <= before.version:
        return None
    after = _apply(before, event)
    if after is None:
        return None
    body = after.body[:max_chars]
    return replace(
        after,
        title=after.title[:MAX_TITLE],
        body=body,
        version=event.aggregate_version,
        changed_at=event.occurred_at,
    )


def ahead(before: Indexed | None, event: StoredEvent, max_chars: int) -> Indexed | None:
    """As `project`, for who reads an event before the projection: what it may not know yet is gone.

    The projection has nothing to do where it is told of the end of something unknown. Who hears of
    it earlier must remember that, or the row that is still to come brings the source back.
    """
    after = project(before, event, max_chars)
    if before is not None or after is not None:
        return after
    match event.payload:
        case events.KnowledgeDeleted():
            return _gone("knowledge", event)
        case events.TaskDeleted():
            return _gone("task", event)
        case _:
            return None


def _gone(kind: SourceType, event: StoredEvent) -> Indexed:
    return Indexed(
        source_id=event.aggregate_id,
        type=kind,
        version=event.aggregate_version,
        title="",
        body="",
        status="deleted",
        removed=True,
        changed_at=event.occurred_at,
    )


def _apply(before: Indexed | None, event: StoredEvent) -> Indexed | None:
    match event.payload:
        case events.KnowledgeCreated() as entity:  # KnowledgeUpdated is one of them
            return _knowledge(entity)
        case events.TaskCreated() as task:  # and so is every change of a task's state
            return _task(task)
        case events.IncidentCreated() as incident:
            return _incident(incident)
        case events.KnowledgeDeleted() | events.TaskDeleted():
            return None if before is None else replace(before, status="deleted", removed=True)
        case _ if before is not None:
            return _incident_change(before, event.payload)
        case _:
            return None


def _knowledge(entity: events.KnowledgeCreated) -> Indexed:
    return Indexed(
        source_id=entity.entity_id,
        type="knowledge",
        version=0,
        title=entity.title,
        body=_join(entity.summary, entity.content),
        kind=entity.category_id,
        status=entity.status,
        tags=entity.tags,
        names=entity.alert_names[:MAX_NAMES],
        labels=entity.labels,
        removed=entity.status in _HIDDEN_STATUS or entity.access_level not in access.OPEN,
        access=entity.access_level,
    )


def _task(task: events.TaskCreated) -> Indexed:
    match task:
        case events.TaskCompleted():
            outcome = task.result
        case events.TaskFailed():
            outcome = task.error
        case events.TaskCancelled():
            outcome = task.reason
        case _:
            outcome = ""
    return Indexed(
        source_id=task.task_id,
        type="task",
        version=0,
        title=task.name,
        body=_join(task.description, outcome) or task.name,
        kind="task",
        status=task.status,
        tags=task.tags,
        labels=task.labels,
    )


def _incident(incident: events.IncidentCreated) -> Indexed:
    systems = _labelled("Affected", ", ".join(incident.affected_systems))
    body = _join(incident.description, systems, _alert_lines(incident.alerts))
    return Indexed(
        source_id=incident.incident_id,
        type="incident",
        version=0,
        title=incident.title,
        body=body or incident.title,
        kind="incident",
        status="open",
        names=_names((), incident.alerts),
        labels=incident.labels,
    )


def _incident_change(before: Indexed, payload: events.Payload) -> Indexed | None:
    match payload:
        case events.AlertsReceived():
            new = tuple(alert for alert in payload.alerts if alert.name not in before.names)
            if not new:
                return None
            names = _names(before.names, new)
            return replace(before, names=names, body=_join(before.body, _alert_lines(new)))
        case events.IncidentResolved():
            cause = _labelled("Root cause", payload.root_cause)
            repair = _labelled("Resolution", payload.resolution)
            body = _join(before.body, cause, repair)
            return replace(before, title=payload.title, status="resolved", body=body)
        case events.IncidentReopened():
            return replace(before, status="open")
        case events.IncidentClosed():
            return replace(before, status="closed")
        case _:
            return None


def _names(present: Sequence[str], alerts: Sequence[AlertSummary]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*present, *(alert.name for alert in alerts)]))[:MAX_NAMES]


def _alert_lines(alerts: Sequence[AlertSummary]) -> str:
    lines = dict.fromkeys(f"{alert.name}: {alert.summary}".strip(": ") for alert in alerts)
    return "\n".join([*lines][:_ALERT_LINES])


def _labelled(label: str, text: str) -> str:
    return f"{label}: {text}" if text else ""


def _join(*parts: str) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip())
