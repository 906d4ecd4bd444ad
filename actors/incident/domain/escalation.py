"""What happens to an incident that nobody acknowledges: it is escalated, by a durable timer.

The timer belongs to the state: while an incident is open, ``escalates_at`` says when its next
escalation is due, and the timer of that name and time is pending. Whatever ends the waiting, in the
same transaction cancels the timer.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from actors.clock import derived_id
from actors.events import IncidentEscalated, Priority, TimerFired
from actors.incident.domain.change import Alarm, Change
from actors.incident.domain.editing import Decided, changed
from actors.incident.messages import Incident, Severity, Status
from actors.settings import IncidentSettings

TIMER = "incident.ack"
"""Name of the timers, and so of what the router says when one fires."""

IDENTITY = "sage.incident"
"""On whose behalf the sage acts when a timer, and not a person, makes it act."""


def timed(
    change: Change, before: Incident | None, policy: IncidentSettings, now: datetime
) -> Change:
    """The change together with the timer that the incident now needs, or needs no more.

    Args:
        change: what was decided.
        before: the incident as it was; None: it is new, or the change is not of one.
        policy: how long each severity may wait.
        now: clock.
    """
    match change.record:
        case Incident() as after:
            due_at = _due_at(before, after, policy, now)
        case _:
            return change
    waiting = None if before is None else before.escalates_at
    if due_at == waiting == after.escalates_at:
        return change
    record = replace(after, escalates_at=due_at)
    return replace(
        change,
        record=record,
        cancelled_alarm=None if before is None else alarm_id(before),
        alarm=_alarm(record),
    )


def escalate(
    incident: Incident, fired: TimerFired, policy: IncidentSettings, now: datetime
) -> Decided:
    """One level up. A timer that is not the one the incident waits for changes nothing."""
    if incident.status is not Status.OPEN or fired.timer_id != alarm_id(incident):
        return incident, ()
    level = incident.escalation_level + 1
    least = Priority.HIGH if level == 1 else Priority.CRITICAL
    minutes = (_patience_s(incident.severity, policy) or 0.0) / 60
    event = IncidentEscalated(
        incident_id=incident.incident_id,
        title=incident.title,
        severity=incident.severity,
        level=level,
        reason=f"nobody acknowledged it within {minutes:g} min",
    )
    return changed(
        incident,
        (event,),
        now=now,
        by=IDENTITY,
        escalation_level=level,
        priority=max(incident.priority, least, key=lambda priority: priority.rank),
    )


def alarm_id(incident: Incident) -> str | None:
    """The timer that the incident waits for; None: for none."""
    if incident.escalates_at is None:
        return None
    place = (str(incident.reopen_count), str(incident.escalation_level))
    at = incident.escalates_at.isoformat()
    return derived_id("timer", incident.detected_at, incident.incident_id, *place, at)


def _alarm(incident: Incident) -> Alarm | None:
    timer_id = alarm_id(incident)
    if timer_id is None or incident.escalates_at is None:
        return None
    return Alarm(timer_id=timer_id, due_at=incident.escalates_at)


def _due_at(
    before: Incident | None, after: Incident, policy: IncidentSettings, now: datetime
) -> datetime | None:
    patience_s = _patience_s(after.severity, policy)
    if (
        after.status is not Status.OPEN
        or after.escalation_level >= policy.max_escalations
        or patience_s is None
    ):
        return None
    due_at = now + timedelta(seconds=patience_s)
    if (
        before is None
        or before.status is not Status.OPEN
        or before.escalation_level != after.escalation_level
    ):
        return due_at
    if before.severity is after.severity:
        return before.escalates_at
    if before.escalates_at is None:
        return due_at
    return min(before.escalates_at, due_at)  # what gets worse does not wait longer


def _patience_s(severity: Severity, policy: IncidentSettings) -> float | None:
    match severity:
        case Severity.CRITICAL:
            return policy.escalate_critical_s
        case Severity.HIGH:
            return policy.escalate_high_s
        case Severity.MEDIUM:
            return policy.escalate_medium_s
        case Severity.LOW | Severity.INFO:
            return None
