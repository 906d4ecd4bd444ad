"""Everything of the Incident sage that crosses a process."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

from actors.events import Evidence, Priority, ReviewAction, RunbookStep
from actors.runtime.message import Command, GuildId, Query, ReplyT

IncidentId = NewType("IncidentId", str)
ReviewId = NewType("ReviewId", str)

TITLE_MAX = 200
TAGS_MAX = 10


class Severity(enum.StrEnum):
    """How bad it is, mildest first."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """1 for info to 5 for critical."""
        return list(Severity).index(self) + 1


class Status(enum.StrEnum):
    """Where an incident is.

    ``open → acknowledged → assessing → responding → resolved → closed``, where closed means
    reviewed. Reopening leads back to ``open``, also from ``closed``. ``merged`` is terminal.
    """

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    ASSESSING = "assessing"
    RESPONDING = "responding"
    RESOLVED = "resolved"
    CLOSED = "closed"
    MERGED = "merged"

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self in OPEN_STATUSES


OPEN_STATUSES = frozenset({Status.OPEN, Status.ACKNOWLEDGED, Status.ASSESSING, Status.RESPONDING})


class Category(enum.StrEnum):
    """What kind of promise is broken."""

    QUALITY = "quality"
    SECURITY = "security"
    PERFORMANCE = "performance"
    AVAILABILITY = "availability"
    COMPLIANCE = "compliance"
    INTEGRATION = "integration"
    DATA = "data"


class AlertStatus(enum.StrEnum):
    """What the source says of an alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


class ReviewStatus(enum.StrEnum):
    """A review is a draft until a person publishes it; ``final`` is terminal."""

    DRAFT = "draft"
    FINAL = "final"


# --- Entities ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that went wrong, from its first alert to its review.

    Attributes:
        version: rises by one with every event of the incident.
        confirmed: False for a candidate that nobody has looked at.
        detected_at: when the guild noticed; an alert's ``starts_at`` is when it began.
        implied: steps that were jumped over when it was resolved; their times are ``resolved_at``.
        resolved_by: a principal, or ``source`` when every alert ended by itself.
        correlation_id: one id from the first alert to the last effect.
        correlation_key: unit of correlation of its alerts; at most one open incident has it.
        labels: those that all of its first alerts share.
        alert_count: distinct alerts that ever joined it.
        firing_count: those of them that fire now.
        recurrence_of: the earlier incident that had one of its alerts.
        escalation_level: how often nobody acknowledged it in time, since it was last opened.
        escalates_at: when that happens next; None: it does not.
    """

    incident_id: IncidentId
    guild_id: GuildId
    title: str
    status: Status
    severity: Severity
    priority: Priority
    detected_at: datetime
    correlation_id: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    description: str = ""
    impact: str = ""
    urgency: Priority = Priority.NORMAL
    category: Category | None = None
    affected_systems: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    access_level: str = "protected"
    assignee: str | None = None
    confirmed: bool = True
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    assessing_at: datetime | None = None
    responding_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    closed_at: datetime | None = None
    implied: tuple[Status, ...] = ()
    root_cause: str = ""
    resolution: str = ""
    resolution_steps: tuple[str, ...] = ()
    prevention: str = ""
    lessons_learned: str = ""
    waived_reason: str = ""
    reopen_count: int = 0
    related_tasks: tuple[str, ...] = ()
    merged_into: IncidentId | None = None
    recurrence_of: IncidentId | None = None
    correlation_key: str | None = None
    alert_names: tuple[str, ...] = ()
    runbook_urls: tuple[str, ...] = ()
    alert_count: int = 0
    firing_count: int = 0
    escalation_level: int = 0
    escalates_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert as its source last reported it; the fingerprint identifies it within a guild.

    Attributes:
        incident_id: the incident it belongs to, its latest one.
        ends_at: None while it fires.
        received_count: notifications, repeats included.
        changed_at: when we last heard something new of it.
    """

    alert_id: str
    guild_id: GuildId
    incident_id: IncidentId
    fingerprint: str
    name: str
    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None
    generator_url: str
    received_count: int
    first_received_at: datetime
    last_received_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """What the guild already knew about an incident, best first in each list.

    ``steps`` are those of ``runbook``, the best runbook with strong evidence; both are empty where
    there is none.
    """

    dossier_id: str
    guild_id: GuildId
    incident_id: IncidentId
    correlation_id: str
    priority: Priority
    version: int
    created_at: datetime
    updated_at: datetime
    similar: tuple[Evidence, ...] = ()
    runbooks: tuple[Evidence, ...] = ()
    open_work: tuple[Evidence, ...] = ()
    runbook: Evidence | None = None
    steps: tuple[RunbookStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One event of an incident's correlation, as a person reads it.

    Attributes:
        kind: wire name of the event.
        subject_id: the incident, task, knowledge entity … it happened to.
        who: principal on whose behalf.
    """

    event_id: str
    at: datetime
    kind: str
    subject_id: str
    who: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The log of one correlation, oldest first.

    Attributes:
        complete: False where there is more than ``entries`` may hold.
    """

    incident_id: IncidentId
    entries: tuple[TimelineEntry, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The post-incident review, one for each incident.

    Attributes:
        drafted_at: when it was last filled from the timeline.
        edited: sections that a person wrote; drafting again leaves them alone.
        author_id: who published it.
    """

    review_id: ReviewId
    guild_id: GuildId
    incident_id: IncidentId
    correlation_id: str
    priority: Priority
    status: ReviewStatus
    version: int
    title: str
    drafted_at: datetime
    created_at: datetime
    updated_at: datetime
    updated_by: str
    summary: str = ""
    impact: str = ""
    timeline: tuple[TimelineEntry, ...] = ()
    root_cause: str = ""
    resolution: str = ""
    lessons: str = ""
    actions: tuple[ReviewAction, ...] = ()
    edited: tuple[str, ...] = ()
    author_id: str | None = None
    published_at: datetime | None = None


# --- Commands ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingAlert:
    """One alert of a notification, parsed."""

    fingerprint: str
    status: AlertStatus
    labels: Mapping[str, str]
    starts_at: datetime
    annotations: Mapping[str, str] = field(default_factory=dict)
    ends_at: datetime | None = None
    generator_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsAccepted:
    """What became of a notification: ``accepted + deduplicated`` are all of its alerts.

    Attributes:
        accepted: alerts that said something new.
        deduplicated: alerts that said what was known; only their count and time moved.
        incidents: the incidents that the alerts belong to now.
    """

    accepted: int
    deduplicated: int
    incidents: tuple[IncidentId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveAlerts(Command[AlertsAccepted]):
    """One notification of a source such as Alertmanager.

    Safe to repeat under another command id too: fingerprint, ``starts_at`` and status identify
    what an alert says. Alerts without an open incident of their own share one, found by
    ``group_key``; without a group key each has its own.
    """

    alerts: tuple[IncomingAlert, ...]
    group_key: str = ""
    receiver: str = ""
    group_labels: Mapping[str, str] = field(default_factory=dict)
    common_labels: Mapping[str, str] = field(default_factory=dict)
    common_annotations: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""

    @property
    def key(self) -> str | None:
        """Notifications of one group are handled one at a time."""
        return self.group_key or None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIncident(Command[Incident]):
    """Reports an incident by hand."""

    title: str
    description: str = ""
    severity: Severity = Severity.MEDIUM
    impact: str = ""
    urgency: Priority = Priority.NORMAL
    category: Category | None = None
    affected_systems: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentCommand(Command[ReplyT]):
    """A command that changes one incident, or its review.

    Attributes:
        expected_version: where given and not the current one, `VersionConflict`.
    """

    incident_id: IncidentId
    expected_version: int | None = None

    @property
    def key(self) -> str:
        """Changes of one incident are made one at a time."""
        return self.incident_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateIncident(IncidentCommand[Incident]):
    """Changes fields in any status but merged; None leaves a field as it is."""

    title: str | None = None
    description: str | None = None
    severity: Severity | None = None
    impact: str | None = None
    urgency: Priority | None = None
    category: Category | None = None
    affected_systems: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    root_cause: str | None = None
    prevention: str | None = None
    lessons_learned: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeIncident(IncidentCommand[Incident]):
    """Somebody has seen it: open → acknowledged. A repeat changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignIncident(IncidentCommand[Incident]):
    """Gives it to somebody; None: to the caller."""

    assignee: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessIncident(IncidentCommand[Incident]):
    """acknowledged → assessing; needs an assignee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RespondIncident(IncidentCommand[Incident]):
    """assessing → responding; severity and impact are stated, here or before."""

    severity: Severity | None = None
    impact: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Communicate(IncidentCommand[Incident]):
    """A stakeholder update on the timeline, in any status but merged."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveIncident(IncidentCommand[Incident]):
    """Any open status → resolved. A repeat changes nothing.

    Attributes:
        helped: ids of sources in its dossier that helped; search learns from them.
    """

    resolution: str
    root_cause: str = ""
    resolution_steps: tuple[str, ...] = ()
    prevention: str = ""
    lessons_learned: str = ""
    helped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReopenIncident(IncidentCommand[Incident]):
    """resolved, closed → open: it was not over."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseIncident(IncidentCommand[Incident]):
    """resolved → closed without a review: an elder waives it and says why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftReview(IncidentCommand[Review]):
    """Drafts the review of a resolved incident now; where there is one, answers it.

    The guild drafts by itself soon after an incident is resolved; this is for who cannot wait.
    ``expected_version`` is the incident's.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class EditReview(IncidentCommand[Review]):
    """Changes sections of a draft; None leaves a section. ``expected_version``: the review's."""

    title: str | None = None
    summary: str | None = None
    impact: str | None = None
    root_cause: str | None = None
    resolution: str | None = None
    lessons: str | None = None
    actions: tuple[ReviewAction, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReview(IncidentCommand[Review]):
    """Makes the review final and closes the resolved incident. A repeat answers the same.

    ``expected_version`` is the review's.
    """


# --- Queries ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GetIncident(Query[Incident]):
    """One incident as it is, or as it was at ``version``."""

    incident_id: IncidentId
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPage:
    """Some incidents, latest first; ``next_cursor`` leads to older ones, None: there are none."""

    items: tuple[Incident, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListIncidents(Query[IncidentPage]):
    """Incidents by time of detection, latest first. Empty filters: all.

    Attributes:
        limit: 1 to 100.
        cursor: ``next_cursor`` of the page before.
    """

    statuses: frozenset[Status] = frozenset()
    severities: frozenset[Severity] = frozenset()
    assignee: str | None = None
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPage:
    """Some of an incident's alerts, by fingerprint."""

    items: tuple[Alert, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAlerts(Query[AlertPage]):
    """The alerts that belong to an incident; ``limit`` and ``cursor`` as in `ListIncidents`."""

    incident_id: IncidentId
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetTimeline(Query[Timeline]):
    """Everything that happened under the incident's correlation id, in all sages."""

    incident_id: IncidentId


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDossier(Query[Dossier]):
    """The dossier; `NotFound` of kind ``dossier`` until it is ready."""

    incident_id: IncidentId


@dataclass(frozen=True, slots=True, kw_only=True)
class GetReview(Query[Review]):
    """The review, draft or final; `NotFound` of kind ``review`` until it is drafted."""

    incident_id: IncidentId
