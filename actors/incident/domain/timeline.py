"""The log of one correlation, as people read it."""

from collections.abc import Iterable

from actors import access
from actors.events import (
    AlertsReceived,
    AlertsResolved,
    AlertSummary,
    DossierReady,
    IncidentAcknowledged,
    IncidentAssessing,
    IncidentAssigned,
    IncidentClosed,
    IncidentCommunicated,
    IncidentCreated,
    IncidentEscalated,
    IncidentReopened,
    IncidentResolved,
    IncidentResponding,
    IncidentUpdated,
    KnowledgeCreated,
    Payload,
    ReviewDrafted,
    ReviewPublished,
    StoredEvent,
    TaskCreated,
)
from actors.incident.messages import TimelineEntry

_NAMES_SHOWN = 5


def entries(events: Iterable[StoredEvent]) -> tuple[TimelineEntry, ...]:
    """One entry for each event, in the same order."""
    return tuple(
        TimelineEntry(
            event_id=event.event_id,
            at=event.occurred_at,
            kind=event.type,
            subject_id=event.aggregate_id,
            who=event.principal_id,
            text=describe(event.payload),
        )
        for event in events
    )


def describe(payload: Payload) -> str:
    """What happened, in one line. Types that are not known here show their name."""
    match payload:
        case IncidentCreated():
            return f"Incident opened with severity {payload.severity}: {payload.title}"
        case AlertsReceived():
            return f"{_alerts(payload.alert_count)} fire: {_named(payload.alerts)}"
        case AlertsResolved():
            ended = f"{_alerts(payload.alert_count)} ended: {_named(payload.alerts)}"
            return f"{ended}; {payload.firing_count} still fire"
        case IncidentAcknowledged():
            return f"Acknowledged by {payload.acknowledged_by}"
        case IncidentAssigned():
            return f"Assigned to {payload.assignee}"
        case IncidentAssessing():
            return "Assessment began"
        case IncidentResponding():
            return f"Response began; severity {payload.severity}, impact: {payload.impact}"
        case IncidentCommunicated():
            return payload.message
        case IncidentUpdated():
            return f"Changed: {', '.join(payload.fields)}"
        case IncidentResolved():
            how = f": {payload.resolution}" if payload.resolution else ""
            return f"Resolved by {payload.resolved_by}{how}"
        case IncidentEscalated():
            return f"Escalated to level {payload.level}: {payload.reason}"
        case IncidentReopened():
            return f"Reopened: {payload.reason}"
        case IncidentClosed():
            return f"Closed: {payload.reason}"
        case DossierReady():
            best = f"; best runbook: {payload.runbook.title}" if payload.runbook else ""
            return (
                f"Dossier: {len(payload.similar)} similar, {len(payload.runbooks)} runbooks, "
                f"{len(payload.open_work)} open tasks{best}"
            )
        case ReviewDrafted():
            return "Review drafted"
        case ReviewPublished():
            return f"Review published: {payload.title}"
        case TaskCreated():
            return f"Task {_verb(payload)}: {payload.name}"
        case KnowledgeCreated():
            title = f": {payload.title}" if payload.access_level in access.OPEN else ""
            return f"Knowledge {_verb(payload)}{title}"
        case _:
            return _verb(payload).capitalize()


def _verb(payload: Payload) -> str:
    """The last words of the wire name: ``sage.task.created`` → ``created``."""
    return " ".join(payload.type.split(".")[2:])


def _alerts(count: int) -> str:
    return "1 alert" if count == 1 else f"{count} alerts"


def _named(alerts: tuple[AlertSummary, ...]) -> str:
    names = list(dict.fromkeys(alert.name for alert in alerts))
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
