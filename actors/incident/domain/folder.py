"""What one notification means for one incident."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from actors.events import (
    AlertsReceived,
    AlertsResolved,
    AlertSummary,
    IncidentCreated,
    IncidentUpdated,
    Payload,
)
from actors.incident.domain import lifecycle, naming
from actors.incident.domain.change import Change
from actors.incident.domain.editing import Decided, changed, priority_of
from actors.incident.messages import Alert, Incident, IncidentId, ReceiveAlerts, Status
from actors.settings import IncidentSettings


@dataclass(slots=True)
class Folder:
    """One incident while the alerts of a notification are sorted into it.

    Attributes:
        before: the incident as it is; None: it is to be opened.
        correlation_key: the unit of correlation whose alerts it takes while it is open.
        reopened_by: the firing alert that leads an ended incident back to open.
        joined: alerts that began to fire.
        ended: alerts that ended.
        new_here: those of ``joined`` that were not this incident's before.
        newly_firing: those of ``joined`` that did not count as firing here before.
        left_firing: alerts that counted as firing here and now belong to another incident.
    """

    incident_id: IncidentId
    before: Incident | None
    correlation_key: str | None
    recurrence_of: IncidentId | None = None
    reopened_by: Alert | None = None
    joined: list[Alert] = field(default_factory=list)
    ended: list[Alert] = field(default_factory=list)
    new_here: int = 0
    newly_firing: int = 0
    left_firing: int = 0

    @property
    def is_open(self) -> bool:
        """Whether alerts may join."""
        return self.before is None or self.before.status.is_open or self.reopened_by is not None


def folder_change(
    folder: Folder, command: ReceiveAlerts, policy: IncidentSettings, now: datetime
) -> Change | None:
    """The incident as the notification leaves it; None where it leaves it as it was."""
    if folder.before is None:
        record, events = _opened(folder, command, policy, now)
        return Change(record=record, version_before=0, events=events)
    record, events = _continued(folder, folder.before, command, policy, now)
    if not events:
        return None
    return Change(record=record, version_before=folder.before.version, events=events)


def _opened(
    folder: Folder, command: ReceiveAlerts, policy: IncidentSettings, now: datetime
) -> Decided:
    caller = command.context.caller
    alerts = folder.joined
    severity = naming.worst(alerts)
    incident = Incident(
        incident_id=folder.incident_id,
        guild_id=caller.guild_id,
        title=naming.title_of(alerts, command.common_annotations),
        description=naming.description_of(alerts, command.common_annotations),
        status=Status.OPEN,
        severity=severity,
        priority=priority_of(severity),
        urgency=priority_of(severity),
        affected_systems=naming.systems_of(alerts),
        labels=naming.common_labels(alerts),
        detected_at=now,
        recurrence_of=folder.recurrence_of,
        correlation_id=command.context.correlation_id,
        correlation_key=folder.correlation_key,
        alert_names=naming.names_of(alerts),
        runbook_urls=naming.runbooks_of(alerts),
        alert_count=len(alerts),
        firing_count=len(alerts),
        version=1,
        created_at=now,
        created_by=caller.principal_id,
        updated_at=now,
        updated_by=caller.principal_id,
    )
    event = IncidentCreated(
        incident_id=incident.incident_id,
        title=incident.title,
        description=incident.description,
        severity=incident.severity,
        labels=dict(incident.labels),
        affected_systems=incident.affected_systems,
        runbook_urls=incident.runbook_urls,
        alerts=_summaries(alerts, policy),
        alert_count=len(alerts),
        recurrence_of=incident.recurrence_of,
    )
    return incident, (event,)


def _continued(
    folder: Folder,
    incident: Incident,
    command: ReceiveAlerts,
    policy: IncidentSettings,
    now: datetime,
) -> Decided:
    by = command.context.caller.principal_id
    events: tuple[Payload, ...] = ()
    if folder.reopened_by is not None:
        reason = f"{folder.reopened_by.name} fires again"
        incident, happened = lifecycle.reopened(incident, reason, by=by, now=now)
        events += happened
    if folder.joined:
        incident, happened = _joined(folder, incident, policy, by=by, now=now)
        events += happened
    if folder.ended:
        firing_count = incident.firing_count - len(folder.ended)
        ended = AlertsResolved(
            incident_id=incident.incident_id,
            alerts=_summaries(folder.ended, policy),
            alert_count=len(folder.ended),
            firing_count=firing_count,
        )
        incident, happened = changed(incident, (ended,), now=now, by=by, firing_count=firing_count)
        events += happened
    if folder.left_firing:
        moved = IncidentUpdated(incident_id=incident.incident_id, fields=("firing_count",))
        firing_count = incident.firing_count - folder.left_firing
        incident, happened = changed(incident, (moved,), now=now, by=by, firing_count=firing_count)
        events += happened
    if folder.ended and incident.firing_count == 0 and incident.status.is_open:
        incident, happened = lifecycle.resolve_by_source(incident, now)
        events += happened
    return incident, events


def _joined(
    folder: Folder, incident: Incident, policy: IncidentSettings, *, by: str, now: datetime
) -> Decided:
    alerts = folder.joined
    received = AlertsReceived(
        incident_id=incident.incident_id,
        alerts=_summaries(alerts, policy),
        alert_count=len(alerts),
    )
    events: tuple[Payload, ...] = (received,)
    severity = max(incident.severity, naming.worst(alerts), key=lambda found: found.rank)
    if severity is not incident.severity:
        events += (IncidentUpdated(incident_id=incident.incident_id, fields=("severity",)),)
    return changed(
        incident,
        events,
        now=now,
        by=by,
        severity=severity,
        priority=max(incident.priority, priority_of(severity), key=lambda found: found.rank),
        alert_names=naming.names_of(alerts, incident.alert_names),
        affected_systems=naming.systems_of(alerts, incident.affected_systems),
        runbook_urls=naming.runbooks_of(alerts, incident.runbook_urls),
        alert_count=incident.alert_count + folder.new_here,
        firing_count=incident.firing_count + folder.newly_firing,
    )


def _summaries(alerts: Sequence[Alert], policy: IncidentSettings) -> tuple[AlertSummary, ...]:
    return tuple(
        AlertSummary(
            fingerprint=alert.fingerprint,
            name=alert.name,
            status=alert.status.value,
            summary=naming.summary_of(alert.annotations),
            labels=dict(alert.labels),
        )
        for alert in alerts[: policy.alerts_in_event]
    )
