"""Incidents, their alerts, dossiers and reviews over HTTP."""

from typing import Annotated

from pydantic import ConfigDict, Field

from actors.events import Priority
from actors.incident.messages import (
    AlertStatus,
    AssignIncident,
    Category,
    CloseIncident,
    Communicate,
    CreateIncident,
    IncidentId,
    ListIncidents,
    ReopenIncident,
    ResolveIncident,
    RespondIncident,
    Severity,
    Status,
    UpdateIncident,
)
from actors.runtime.message import Context
from serve_app.call import Origin
from serve_app.schemas.common import (
    EvidenceView,
    Paging,
    Person,
    Reason,
    RunbookStepView,
    example,
)
from serve_app.schemas.review import TimelineEntryView
from serve_app.strict import Labels, Line, Reference, Shown, Strict, Tags, Text, View, Words

_Systems = Annotated[tuple[Reference, ...], Field(max_length=50)]
_Steps = Annotated[tuple[Annotated[Words, Field(max_length=2_000)], ...], Field(max_length=100)]


class IncidentIn(Strict):
    """An incident that somebody reports by hand."""

    title: Line = Field(max_length=200)
    description: Text = Field(default="", max_length=20_000)
    severity: Severity = Severity.MEDIUM
    impact: Text = Field(default="", max_length=4_000)
    urgency: Priority = Priority.NORMAL
    category: Category | None = None
    affected_systems: _Systems = ()
    tags: Tags = ()
    labels: Labels = Field(default_factory=dict)

    model_config = ConfigDict(
        json_schema_extra=example(
            title="Checkout answers slowly",
            description="p99 above 4 s since the last deployment",
            severity="high",
            affected_systems=["checkout"],
            tags=["latency"],
        )
    )

    def to_message(self, origin: Origin) -> CreateIncident:
        """The command that creates it."""
        return CreateIncident(
            **origin,
            title=self.title,
            description=self.description,
            severity=self.severity,
            impact=self.impact,
            urgency=self.urgency,
            category=self.category,
            affected_systems=self.affected_systems,
            tags=self.tags,
            labels=self.labels,
        )


class IncidentPatch(Strict):
    """Fields to change; what is absent or null stays."""

    title: Line | None = Field(default=None, max_length=200)
    description: Text | None = Field(default=None, max_length=20_000)
    severity: Severity | None = None
    impact: Text | None = Field(default=None, max_length=4_000)
    urgency: Priority | None = None
    category: Category | None = None
    affected_systems: _Systems | None = None
    tags: Tags | None = None
    root_cause: Text | None = Field(default=None, max_length=20_000)
    prevention: Text | None = Field(default=None, max_length=20_000)
    lessons_learned: Text | None = Field(default=None, max_length=20_000)

    model_config = ConfigDict(json_schema_extra=example(severity="critical", impact="no orders"))

    def to_message(self, origin: Origin, incident_id: IncidentId, version: int) -> UpdateIncident:
        """The command that changes it."""
        return UpdateIncident(
            **origin,
            incident_id=incident_id,
            expected_version=version,
            title=self.title,
            description=self.description,
            severity=self.severity,
            impact=self.impact,
            urgency=self.urgency,
            category=self.category,
            affected_systems=self.affected_systems,
            tags=self.tags,
            root_cause=self.root_cause,
            prevention=self.prevention,
            lessons_learned=self.lessons_learned,
        )


class AssignIn(Strict):
    """Who shall own the incident; nobody named: the caller."""

    assignee: Person | None = None

    model_config = ConfigDict(json_schema_extra=example(assignee="user_01k0000000000000000000000a"))

    def to_message(
        self, origin: Origin, incident_id: IncidentId, version: int | None
    ) -> AssignIncident:
        """The command."""
        return AssignIncident(
            **origin, incident_id=incident_id, expected_version=version, assignee=self.assignee
        )


class RespondIn(Strict):
    """How bad it is, now that it has been assessed; absent: as stated before."""

    severity: Severity | None = None
    impact: Words | None = Field(default=None, max_length=4_000)

    model_config = ConfigDict(json_schema_extra=example(severity="high", impact="one in ten fails"))

    def to_message(
        self, origin: Origin, incident_id: IncidentId, version: int | None
    ) -> RespondIncident:
        """The command."""
        return RespondIncident(
            **origin,
            incident_id=incident_id,
            expected_version=version,
            severity=self.severity,
            impact=self.impact,
        )


class CommunicateIn(Strict):
    """A stakeholder update."""

    message: Words = Field(max_length=4_000)

    model_config = ConfigDict(json_schema_extra=example(message="A fix is being rolled out."))

    def to_message(
        self, origin: Origin, incident_id: IncidentId, version: int | None
    ) -> Communicate:
        """The command."""
        return Communicate(
            **origin, incident_id=incident_id, expected_version=version, message=self.message
        )


class ResolveIn(Strict):
    """How it ended.

    Attributes:
        helped: ids of what the dossier showed and was of use; search learns from them.
    """

    resolution: Words = Field(max_length=20_000)
    root_cause: Text = Field(default="", max_length=20_000)
    resolution_steps: _Steps = ()
    prevention: Text = Field(default="", max_length=20_000)
    lessons_learned: Text = Field(default="", max_length=20_000)
    helped: tuple[Reference, ...] = Field(default=(), max_length=20)

    model_config = ConfigDict(
        json_schema_extra=example(
            resolution="Rotated the log files and doubled the volume.",
            root_cause="Debug logging had been left on.",
        )
    )

    def to_message(
        self, origin: Origin, incident_id: IncidentId, version: int | None
    ) -> ResolveIncident:
        """The command."""
        return ResolveIncident(
            **origin,
            incident_id=incident_id,
            expected_version=version,
            resolution=self.resolution,
            root_cause=self.root_cause,
            resolution_steps=self.resolution_steps,
            prevention=self.prevention,
            lessons_learned=self.lessons_learned,
            helped=self.helped,
        )


class ReopenIn(Reason):
    """Why it was not over."""

    def to_message(
        self, origin: Origin, incident_id: IncidentId, version: int | None
    ) -> ReopenIncident:
        """The command."""
        return ReopenIncident(
            **origin, incident_id=incident_id, expected_version=version, reason=self.reason
        )


class CloseIn(Reason):
    """Why no review is needed."""

    def to_message(
        self, origin: Origin, incident_id: IncidentId, version: int | None
    ) -> CloseIncident:
        """The command."""
        return CloseIncident(
            **origin, incident_id=incident_id, expected_version=version, reason=self.reason
        )


class IncidentFilter(Paging):
    """Which incidents are listed; nothing given: all."""

    status: list[Status] = Field(default_factory=list, max_length=10)
    severity: list[Severity] = Field(default_factory=list, max_length=10)
    assignee: Person | None = None

    def to_message(self, context: Context) -> ListIncidents:
        """The question."""
        return ListIncidents(
            context=context,
            statuses=frozenset(self.status),
            severities=frozenset(self.severity),
            assignee=self.assignee,
            limit=self.limit,
            cursor=self.cursor,
        )


class IncidentView(View):
    """An incident as it is."""

    incident_id: str
    title: str
    description: str
    status: Status
    severity: Severity
    priority: Priority
    impact: str
    urgency: Priority
    category: Category | None
    affected_systems: tuple[str, ...]
    tags: tuple[str, ...]
    labels: dict[str, str]
    access_level: str
    assignee: str | None
    confirmed: bool
    detected_at: Shown
    acknowledged_at: Shown | None
    acknowledged_by: str | None
    assessing_at: Shown | None
    responding_at: Shown | None
    resolved_at: Shown | None
    resolved_by: str | None
    closed_at: Shown | None
    implied: tuple[Status, ...]
    root_cause: str
    resolution: str
    resolution_steps: tuple[str, ...]
    prevention: str
    lessons_learned: str
    waived_reason: str
    reopen_count: int
    escalation_level: int
    escalates_at: Shown | None
    related_tasks: tuple[str, ...]
    merged_into: str | None
    recurrence_of: str | None
    alert_names: tuple[str, ...]
    runbook_urls: tuple[str, ...]
    alert_count: int
    firing_count: int
    correlation_id: str
    version: int
    created_at: Shown
    created_by: str
    updated_at: Shown
    updated_by: str


class IncidentsView(View):
    """A page of incidents, latest first."""

    items: tuple[IncidentView, ...]
    next_cursor: str | None


class AlertView(View):
    """An alert as its source last reported it."""

    alert_id: str
    incident_id: str
    fingerprint: str
    name: str
    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: Shown
    ends_at: Shown | None
    generator_url: str
    received_count: int
    first_received_at: Shown
    last_received_at: Shown


class AlertsView(View):
    """A page of an incident's alerts, by fingerprint."""

    items: tuple[AlertView, ...]
    next_cursor: str | None


class TimelineView(View):
    """What happened under one correlation id, oldest first."""

    incident_id: str
    entries: tuple[TimelineEntryView, ...]
    complete: bool


class DossierView(View):
    """What the guild already knew about an incident."""

    dossier_id: str
    incident_id: str
    correlation_id: str
    priority: Priority
    version: int
    created_at: Shown
    updated_at: Shown
    similar: tuple[EvidenceView, ...]
    runbooks: tuple[EvidenceView, ...]
    open_work: tuple[EvidenceView, ...]
    runbook: EvidenceView | None
    steps: tuple[RunbookStepView, ...]
