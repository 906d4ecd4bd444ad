"""The response steps as a state machine.

Each function takes the incident as it is and answers the incident as it will be, with the events
between the two. A repeat answers the incident unchanged and no event.
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from actors.errors import InvalidTransition, NotAuthorized, ValidationError
from actors.events import (
    IncidentAcknowledged,
    IncidentAssessing,
    IncidentAssigned,
    IncidentClosed,
    IncidentCommunicated,
    IncidentReopened,
    IncidentResolved,
    IncidentResponding,
)
from actors.incident.domain.editing import Decided, changed, priority_of, required, with_fields
from actors.incident.messages import (
    AcknowledgeIncident,
    AssessIncident,
    AssignIncident,
    CloseIncident,
    Communicate,
    Incident,
    ReopenIncident,
    ResolveIncident,
    RespondIncident,
    Status,
)
from actors.runtime.message import Permission

BY_SOURCE = "source"
"""``resolved_by`` of an incident whose alerts all ended by themselves."""


def acknowledge(incident: Incident, command: AcknowledgeIncident, now: datetime) -> Decided:
    """Open → acknowledged."""
    match incident.status:
        case Status.OPEN:
            by = command.context.caller.principal_id
            event = IncidentAcknowledged(incident_id=incident.incident_id, acknowledged_by=by)
            return changed(
                incident,
                (event,),
                now=now,
                by=by,
                status=Status.ACKNOWLEDGED,
                acknowledged_at=now,
                acknowledged_by=by,
            )
        case Status.ACKNOWLEDGED | Status.ASSESSING | Status.RESPONDING:
            return incident, ()
        case Status.RESOLVED | Status.CLOSED | Status.MERGED:
            raise InvalidTransition("incident", incident.status, Status.ACKNOWLEDGED)
        case _:
            assert_never(incident.status)


def assign(incident: Incident, command: AssignIncident, now: datetime) -> Decided:
    """Gives an incident that is not done with to somebody."""
    if incident.status in (Status.CLOSED, Status.MERGED):
        raise InvalidTransition("incident", incident.status, "assigned")
    by = command.context.caller.principal_id
    assignee = by if command.assignee is None else required("assignee", command.assignee)
    if assignee == incident.assignee:
        return incident, ()
    event = IncidentAssigned(incident_id=incident.incident_id, assignee=assignee)
    return changed(incident, (event,), now=now, by=by, assignee=assignee)


def assess(incident: Incident, command: AssessIncident, now: datetime) -> Decided:
    """Acknowledged → assessing.

    Raises:
        ValidationError: nobody is assigned.
    """
    match incident.status:
        case Status.ACKNOWLEDGED:
            if incident.assignee is None:
                raise ValidationError("assignee", "somebody must be assigned first")
            return changed(
                incident,
                (IncidentAssessing(incident_id=incident.incident_id),),
                now=now,
                by=command.context.caller.principal_id,
                status=Status.ASSESSING,
                assessing_at=now,
            )
        case Status.ASSESSING | Status.RESPONDING:
            return incident, ()
        case Status.OPEN | Status.RESOLVED | Status.CLOSED | Status.MERGED:
            raise InvalidTransition("incident", incident.status, Status.ASSESSING)
        case _:
            assert_never(incident.status)


def respond(incident: Incident, command: RespondIncident, now: datetime) -> Decided:
    """Assessing → responding; from there on, severity and impact can be stated anew.

    Raises:
        ValidationError: the impact was never stated.
    """
    by = command.context.caller.principal_id
    severity = command.severity or incident.severity
    impact = incident.impact if command.impact is None else command.impact
    match incident.status:
        case Status.ASSESSING:
            event = IncidentResponding(
                incident_id=incident.incident_id,
                severity=severity,
                impact=required("impact", impact),
            )
            return changed(
                incident,
                (event,),
                now=now,
                by=by,
                status=Status.RESPONDING,
                responding_at=now,
                severity=severity,
                priority=priority_of(severity),
                impact=impact,
            )
        case Status.RESPONDING:
            stated = {"severity": severity, "impact": required("impact", impact)}
            return with_fields(incident, stated, now=now, by=by)
        case Status.OPEN | Status.ACKNOWLEDGED | Status.RESOLVED | Status.CLOSED | Status.MERGED:
            raise InvalidTransition("incident", incident.status, Status.RESPONDING)
        case _:
            assert_never(incident.status)


def communicate(incident: Incident, command: Communicate, now: datetime) -> Decided:
    """A stakeholder update; it stands on the timeline and changes nothing else."""
    if incident.status is Status.MERGED:
        raise InvalidTransition("incident", incident.status, "communicated")
    message = required("message", command.message)
    event = IncidentCommunicated(incident_id=incident.incident_id, message=message)
    return changed(incident, (event,), now=now, by=command.context.caller.principal_id)


def resolve(incident: Incident, command: ResolveIncident, now: datetime) -> Decided:
    """Any open status → resolved.

    Raises:
        ValidationError: the resolution says nothing.
    """
    match incident.status:
        case Status.RESOLVED | Status.CLOSED:
            return incident, ()
        case Status.MERGED:
            raise InvalidTransition("incident", incident.status, Status.RESOLVED)
        case Status.OPEN | Status.ACKNOWLEDGED | Status.ASSESSING | Status.RESPONDING:
            said = replace(
                incident,
                resolution=required("resolution", command.resolution),
                root_cause=command.root_cause or incident.root_cause,
                resolution_steps=command.resolution_steps or incident.resolution_steps,
                prevention=command.prevention or incident.prevention,
                lessons_learned=command.lessons_learned or incident.lessons_learned,
            )
            by = command.context.caller.principal_id
            return _resolved(said, by=by, now=now, helped=command.helped)
        case _:
            assert_never(incident.status)


def resolve_by_source(incident: Incident, now: datetime) -> Decided:
    """Any open status → resolved, because every alert ended; nobody has to say how."""
    return _resolved(incident, by=BY_SOURCE, now=now)


def reopen(incident: Incident, command: ReopenIncident, now: datetime) -> Decided:
    """Resolved or closed → open, by hand.

    Raises:
        ValidationError: no reason is given.
    """
    match incident.status:
        case Status.RESOLVED | Status.CLOSED:
            reason = required("reason", command.reason)
            return reopened(incident, reason, by=command.context.caller.principal_id, now=now)
        case Status.OPEN | Status.ACKNOWLEDGED | Status.ASSESSING | Status.RESPONDING:
            return incident, ()
        case Status.MERGED:
            raise InvalidTransition("incident", incident.status, Status.OPEN)
        case _:
            assert_never(incident.status)


def reopened(incident: Incident, reason: str, *, by: str, now: datetime) -> Decided:
    """The ended incident, open again. What was found out stays; the steps are taken anew."""
    count = incident.reopen_count + 1
    event = IncidentReopened(incident_id=incident.incident_id, reason=reason, reopen_count=count)
    return changed(
        incident,
        (event,),
        now=now,
        by=by,
        status=Status.OPEN,
        reopen_count=count,
        acknowledged_at=None,
        acknowledged_by=None,
        assessing_at=None,
        responding_at=None,
        resolved_at=None,
        resolved_by=None,
        closed_at=None,
        implied=(),
        waived_reason="",
        escalation_level=0,
    )


def waive_review(incident: Incident, command: CloseIncident, now: datetime) -> Decided:
    """Resolved → closed without a review.

    Raises:
        NotAuthorized: the caller is no elder; the right to delete is what sets elders apart.
        ValidationError: no reason is given.
    """
    caller = command.context.caller
    if not caller.may(Permission.DELETE):
        raise NotAuthorized(Permission.DELETE)
    match incident.status:
        case Status.CLOSED:
            return incident, ()
        case Status.RESOLVED:
            reason = required("reason", command.reason)
            waived = replace(incident, waived_reason=reason)
            return closed(waived, reason, by=caller.principal_id, now=now)
        case (
            Status.OPEN | Status.ACKNOWLEDGED | Status.ASSESSING | Status.RESPONDING | Status.MERGED
        ):
            raise InvalidTransition("incident", incident.status, Status.CLOSED)
        case _:
            assert_never(incident.status)


def closed(incident: Incident, reason: str, *, by: str, now: datetime) -> Decided:
    """The resolved incident, closed."""
    event = IncidentClosed(incident_id=incident.incident_id, reason=reason)
    return changed(incident, (event,), now=now, by=by, status=Status.CLOSED, closed_at=now)


def _resolved(
    incident: Incident, *, by: str, now: datetime, helped: tuple[str, ...] = ()
) -> Decided:
    taken = {
        Status.ACKNOWLEDGED: incident.acknowledged_at,
        Status.ASSESSING: incident.assessing_at,
        Status.RESPONDING: incident.responding_at,
    }
    event = IncidentResolved(
        incident_id=incident.incident_id,
        title=incident.title,
        resolution=incident.resolution,
        root_cause=incident.root_cause,
        resolved_by=by,
        severity=incident.severity,
        labels=dict(incident.labels),
        helped=tuple(dict.fromkeys(helped)),
    )
    return changed(
        incident,
        (event,),
        now=now,
        by=by,
        status=Status.RESOLVED,
        resolved_at=now,
        resolved_by=by,
        acknowledged_at=incident.acknowledged_at or now,
        assessing_at=incident.assessing_at or now,
        responding_at=incident.responding_at or now,
        implied=tuple(step for step, at in taken.items() if at is None),
    )
