"""A notification of alerts: what in it is new, and which incident each alert belongs to.

Notifications arrive late, twice and out of order, so what an alert says is taken for new by its
content alone: fingerprint, start and status. Only firing alerts open, join or reopen incidents.
"""

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from actors.clock import NewId
from actors.incident.domain import naming
from actors.incident.domain.change import Change
from actors.incident.domain.folder import Folder, folder_change
from actors.incident.messages import (
    Alert,
    AlertsAccepted,
    AlertStatus,
    Incident,
    IncidentId,
    IncomingAlert,
    ReceiveAlerts,
    Status,
)
from actors.settings import IncidentSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store holds that matters to a notification.

    Attributes:
        alerts: those of the notification's alerts that were seen before, by fingerprint.
        incidents: the incidents of these alerts, and every open incident that has the correlation
            key of the notification, of one of its alerts or of one of these incidents.
    """

    alerts: Mapping[str, Alert] = field(default_factory=dict)
    incidents: Mapping[IncidentId, Incident] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What is to be written, all of it or nothing.

    Attributes:
        alerts: every alert of the notification that belongs to an incident.
    """

    reply: AlertsAccepted
    alerts: tuple[Alert, ...]
    changes: tuple[Change, ...]


def correlation_keys(command: ReceiveAlerts) -> dict[str, str]:
    """The unit of correlation of each fingerprint: the source's group, else the alert alone."""
    if command.group_key:
        group = _key("group", command.group_key)
        return {alert.fingerprint: group for alert in command.alerts}
    return {alert.fingerprint: _key("alert", alert.fingerprint) for alert in command.alerts}


def receive(
    command: ReceiveAlerts,
    known: Known,
    *,
    policy: IncidentSettings,
    now: datetime,
    new_id: NewId,
) -> Intake:
    """Decides on one notification.

    Firing alerts go first, so that an incident whose last alert ends while another joins stays
    open. Alerts whose own incident is open, then those that reopen theirs, go before the new ones,
    so that the new ones find the group's incident.
    """
    latest: dict[str, IncomingAlert] = {}
    for alert in command.alerts:
        before = latest.get(alert.fingerprint)
        if before is None or alert.starts_at >= before.starts_at:
            latest[alert.fingerprint] = alert
    desk = _Desk(command, known, policy, now, new_id)
    news = {alert.fingerprint: desk.news(alert) for alert in latest.values()}
    firing = [alert for alert in latest.values() if news[alert.fingerprint] is _News.FIRES]
    for alert in sorted(firing, key=desk.turn):
        desk.fires(alert)
    for alert in latest.values():
        match news[alert.fingerprint]:
            case _News.ENDS:
                desk.ends(alert)
            case _News.NOTHING:
                desk.says_nothing(alert)
            case _News.FIRES:
                pass
    accepted = sum(said is not _News.NOTHING for said in news.values())
    return desk.intake(accepted)


class _News(enum.Enum):
    FIRES = enum.auto()
    ENDS = enum.auto()
    NOTHING = enum.auto()


class _Desk:
    """Sorts the alerts of one notification into folders. Lives as long as one decision."""

    def __init__(
        self,
        command: ReceiveAlerts,
        known: Known,
        policy: IncidentSettings,
        now: datetime,
        new_id: NewId,
    ) -> None:
        self._command = command
        self._known = known
        self._policy = policy
        self._window = timedelta(seconds=policy.reopen_window_s)
        self._now = now
        self._new_id = new_id
        self._keys = correlation_keys(command)
        self._folders = {
            incident_id: Folder(incident_id, incident, incident.correlation_key)
            for incident_id, incident in known.incidents.items()
        }
        self._open_by_key = {
            folder.correlation_key: folder.incident_id
            for folder in self._folders.values()
            if folder.is_open and folder.correlation_key
        }
        self._alerts: list[Alert] = []

    def news(self, alert: IncomingAlert) -> _News:
        """What this alert says that we did not know."""
        known = self._known.alerts.get(alert.fingerprint)
        match alert.status:
            case AlertStatus.RESOLVED:
                if known is None or known.status is AlertStatus.RESOLVED:
                    return _News.NOTHING
                is_of_before = alert.ends_at is not None and alert.ends_at < known.starts_at
                return _News.NOTHING if is_of_before else _News.ENDS
            case AlertStatus.FIRING:
                if known is None:
                    return _News.FIRES
                return self._firing_again(alert, known)

    def _firing_again(self, alert: IncomingAlert, known: Alert) -> _News:
        incident = self._known.incidents[known.incident_id]
        if known.status is AlertStatus.FIRING and incident.status.is_open:
            return _News.NOTHING
        if alert.starts_at > known.starts_at:
            return _News.FIRES
        # The same episode, though its source or a person has ended it: an echo at first. A source
        # that still insists when the window is over means it: the alert was never gone, or its
        # end was an error. Then silence would hide a fault.
        # What its source has ended counts from then, whatever else became of the incident.
        by_source = known.status is AlertStatus.RESOLVED
        ended_at = known.changed_at if by_source else incident.resolved_at or known.starts_at
        return _News.FIRES if self._now - ended_at > self._window else _News.NOTHING

    def turn(self, alert: IncomingAlert) -> int:
        """Which firing alerts are sorted first: the smaller the earlier."""
        own = self._own(alert.fingerprint)
        if own is None:
            return 2
        if own.is_open:
            return 0
        return 1 if self._may_reopen(own) else 2

    def fires(self, alert: IncomingAlert) -> None:
        """A firing alert finds its incident, reopens it or opens one."""
        known = self._known.alerts.get(alert.fingerprint)
        folder = self._folder_for(alert)
        written = self._written(alert, folder.incident_id, AlertStatus.FIRING)
        if known is None or known.incident_id != folder.incident_id:
            folder.new_here += 1
        was_counted = known is not None and known.status is AlertStatus.FIRING
        if was_counted and known is not None and known.incident_id != folder.incident_id:
            self._folders[known.incident_id].left_firing += 1
            was_counted = False
        folder.newly_firing += not was_counted
        if not folder.is_open:
            folder.reopened_by = written
            if folder.correlation_key:
                self._open_by_key[folder.correlation_key] = folder.incident_id
        folder.joined.append(written)

    def ends(self, alert: IncomingAlert) -> None:
        """A firing alert of ours has ended."""
        known = self._known.alerts[alert.fingerprint]
        written = self._written(alert, known.incident_id, AlertStatus.RESOLVED)
        self._folders[known.incident_id].ended.append(written)

    def says_nothing(self, alert: IncomingAlert) -> None:
        """A repeat: it is counted. An end whose beginning we never saw is not even that."""
        known = self._known.alerts.get(alert.fingerprint)
        if known is not None:
            self._alerts.append(
                replace(known, received_count=known.received_count + 1, last_received_at=self._now)
            )

    def intake(self, accepted: int) -> Intake:
        """Everything that was sorted, as rows and events."""
        changes = [
            change
            for folder in self._folders.values()
            if (change := folder_change(folder, self._command, self._policy, self._now))
        ]
        return Intake(
            reply=AlertsAccepted(
                accepted=accepted,
                deduplicated=len(self._command.alerts) - accepted,
                incidents=tuple(sorted({alert.incident_id for alert in self._alerts})),
            ),
            alerts=tuple(sorted(self._alerts, key=lambda alert: alert.fingerprint)),
            changes=tuple(changes),
        )

    def _own(self, fingerprint: str) -> Folder | None:
        known = self._known.alerts.get(fingerprint)
        return None if known is None else self._folders[known.incident_id]

    def _may_reopen(self, folder: Folder) -> bool:
        ended = folder.before
        if ended is None or ended.status is Status.MERGED or ended.resolved_at is None:
            return False
        return self._now - ended.resolved_at <= self._window

    def _folder_for(self, alert: IncomingAlert) -> Folder:
        own = self._own(alert.fingerprint)
        if own is not None and own.is_open:
            return own
        keys = [self._keys[alert.fingerprint]]
        if own is not None and own.correlation_key:
            keys.append(own.correlation_key)
        for key in keys:
            if key in self._open_by_key:
                return self._folders[self._open_by_key[key]]
        if own is not None and self._may_reopen(own):
            return own
        return self._new_folder(keys[0], None if own is None else own.incident_id)

    def _new_folder(self, key: str, recurrence_of: IncidentId | None) -> Folder:
        incident_id = IncidentId(self._new_id("inc"))
        folder = Folder(incident_id, None, key, recurrence_of=recurrence_of)
        self._folders[incident_id] = folder
        self._open_by_key[key] = incident_id
        return folder

    def _written(self, alert: IncomingAlert, incident_id: IncidentId, status: AlertStatus) -> Alert:
        known = self._known.alerts.get(alert.fingerprint)
        is_over = status is AlertStatus.RESOLVED
        written = Alert(
            alert_id=self._new_id("alert") if known is None else known.alert_id,
            guild_id=self._command.context.caller.guild_id,
            incident_id=incident_id,
            fingerprint=alert.fingerprint,
            name=naming.alert_name(alert.labels),
            status=status,
            labels=alert.labels,
            annotations=alert.annotations,
            starts_at=alert.starts_at,
            ends_at=(alert.ends_at or self._now) if is_over else None,
            generator_url=alert.generator_url,
            received_count=1 if known is None else known.received_count + 1,
            first_received_at=self._now if known is None else known.first_received_at,
            last_received_at=self._now,
            changed_at=self._now,
        )
        self._alerts.append(written)
        return written


def _key(kind: str, name: str) -> str:
    # A group key may be longer than an index takes, so its digest stands for it.
    return f"{kind}:{hashlib.sha256(name.encode()).hexdigest()}"
