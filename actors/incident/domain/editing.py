"""Making an incident and changing its fields, by hand."""

from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from actors.errors import InvalidTransition, ValidationError
from actors.events import IncidentCreated, IncidentUpdated, Payload, Priority
from actors.incident.messages import (
    TAGS_MAX,
    TITLE_MAX,
    CreateIncident,
    Incident,
    IncidentId,
    Severity,
    Status,
    UpdateIncident,
)

Decided: TypeAlias = tuple[Incident, tuple[Payload, ...]]
"""The incident as it will be, and the events that lead there; none: nothing is to be written."""

_PRIORITIES = {
    Severity.INFO: Priority.LOW,
    Severity.LOW: Priority.LOW,
    Severity.MEDIUM: Priority.NORMAL,
    Severity.HIGH: Priority.HIGH,
    Severity.CRITICAL: Priority.CRITICAL,
}


def priority_of(severity: Severity) -> Priority:
    """How urgently the guild's machinery treats an incident of this severity."""
    return _PRIORITIES[severity]


def create(command: CreateIncident, incident_id: IncidentId, now: datetime) -> Decided:
    """A new incident, reported by a person or a program.

    Raises:
        ValidationError: title or tags are not acceptable.
    """
    caller = command.context.caller
    incident = Incident(
        incident_id=incident_id,
        guild_id=caller.guild_id,
        title=_title(command.title),
        description=command.description,
        status=Status.OPEN,
        severity=command.severity,
        priority=priority_of(command.severity),
        impact=command.impact,
        urgency=command.urgency,
        category=command.category,
        affected_systems=command.affected_systems,
        tags=_tags(command.tags),
        labels=command.labels,
        detected_at=now,
        correlation_id=command.context.correlation_id,
        version=1,
        created_at=now,
        created_by=caller.principal_id,
        updated_at=now,
        updated_by=caller.principal_id,
    )
    event = IncidentCreated(
        incident_id=incident_id,
        title=incident.title,
        description=incident.description,
        severity=incident.severity,
        labels=dict(incident.labels),
        affected_systems=incident.affected_systems,
    )
    return incident, (event,)


def update(incident: Incident, command: UpdateIncident, now: datetime) -> Decided:
    """Changes the fields that the command names.

    Raises:
        InvalidTransition: the incident was merged; change its target.
        ValidationError: title or tags are not acceptable.
    """
    if incident.status is Status.MERGED:
        raise InvalidTransition("incident", incident.status, "changed")
    named = {
        "title": None if command.title is None else _title(command.title),
        "description": command.description,
        "severity": command.severity,
        "impact": command.impact,
        "urgency": command.urgency,
        "category": command.category,
        "affected_systems": command.affected_systems,
        "tags": None if command.tags is None else _tags(command.tags),
        "root_cause": command.root_cause,
        "prevention": command.prevention,
        "lessons_learned": command.lessons_learned,
    }
    fields = {name: value for name, value in named.items() if value is not None}
    return with_fields(incident, fields, now=now, by=command.context.caller.principal_id)


def changed(
    incident: Incident, events: tuple[Payload, ...], *, now: datetime, by: str, **fields: Any
) -> Decided:
    """The incident with these fields, as many versions later as there are events."""
    version = incident.version + len(events)
    return replace(incident, version=version, updated_at=now, updated_by=by, **fields), events


def with_fields(incident: Incident, fields: dict[str, Any], *, now: datetime, by: str) -> Decided:
    """The incident with what is different among these fields; nothing is: no event."""
    different = {name: value for name, value in fields.items() if value != getattr(incident, name)}
    if not different:
        return incident, ()
    event = IncidentUpdated(incident_id=incident.incident_id, fields=tuple(different))
    if "severity" in different:
        different["priority"] = priority_of(different["severity"])
    return changed(incident, (event,), now=now, by=by, **different)


def _title(title: str) -> str:
    stripped = required("title", title)
    if len(stripped) > TITLE_MAX:
        raise ValidationError("title", f"has more than {TITLE_MAX} characters")
    return stripped


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    distinct = tuple(dict.fromkeys(tags))
    if len(distinct) > TAGS_MAX:
        raise ValidationError("tags", f"are more than {TAGS_MAX}")
    return distinct


def required(field: str, text: str) -> str:
    """The text, stripped.

    Raises:
        ValidationError: it is blank.
    """
    stripped = text.strip()
    if not stripped:
        raise ValidationError(field, "must not be blank")
    return stripped
