"""Events: the only contract between sages.

A payload is a frozen dataclass registered under its wire name. `StoredEvent` is a payload with its
envelope as the log keeps it; `DeliverEvent` is how the router hands one to a sage.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import TypeAdapter

from actors.runtime.message import Command, GuildId, Position


class Priority(enum.StrEnum):
    """Priority of anything; `rank` sorts it 1 (low) to 4 (critical)."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """1 for low to 4 for critical."""
        return list(Priority).index(self) + 1


SourceType = Literal["document", "knowledge", "incident", "task"]
"""The four kinds of thing that search covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What happened. Subclasses name their wire type and are otherwise plain data."""

    type: ClassVar[str]


PayloadT = TypeVar("PayloadT", bound=Payload)
_registry: dict[str, type[Payload]] = {}
_adapters: dict[str, TypeAdapter[Any]] = {}


def event_type(name: str) -> Callable[[type[PayloadT]], type[PayloadT]]:
    """Class decorator: registers a payload under its wire name."""

    def register(payload: type[PayloadT]) -> type[PayloadT]:
        if name in _registry:
            raise TypeError(f"two payloads are called {name}")
        payload.type = name
        _registry[name] = payload
        _adapters[name] = TypeAdapter(payload)
        return payload

    return register


def encode(payload: Payload) -> str:
    """The payload as JSON text."""
    return _adapters[payload.type].dump_json(payload).decode()


def decode(name: str, data: str | bytes) -> Payload:
    """The payload that ``encode`` wrote.

    Raises:
        KeyError: no payload is registered under ``name``.
        pydantic.ValidationError: the JSON is not that payload.
    """
    payload: Payload = _adapters[name].validate_json(data)
    return payload


def registered() -> tuple[str, ...]:
    """Every wire name, sorted."""
    return tuple(sorted(_registry))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """One line of the log.

    Attributes:
        aggregate_id: the thing that changed; events of one aggregate are delivered in the order of
            ``aggregate_version``.
        source: who published it; ``(source, event_id)`` identifies the event to the outside.
        causation_id: id of the event or command that caused it.
        principal_id: on whose behalf.
    """

    event_id: str
    guild_id: GuildId
    source: str
    aggregate_id: str
    aggregate_version: int
    priority: Priority
    occurred_at: datetime
    correlation_id: str
    causation_id: str | None
    principal_id: str
    position: Position
    payload: Payload

    @property
    def type(self) -> str:
        """Wire name of the payload."""
        return self.payload.type


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverEvent(Command[None]):
    """The router hands one event to one subscription. Delivered at least once, takes effect once.

    ``command_id`` is ``<subscription>/<event_id>``: the receiving sage records it in the
    transaction of its effect, and a second delivery finds it there.
    """

    subscription: str
    event: StoredEvent

    @property
    def key(self) -> str:
        """One aggregate's events are handled one at a time, in order."""
        return self.event.aggregate_id


# --- Incident ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSummary:
    """The part of an alert that others need."""

    fingerprint: str
    name: str
    status: Literal["firing", "resolved"]
    summary: str
    labels: dict[str, str]


@event_type("sage.incident.created")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentCreated(Payload):
    """A new incident. ``alerts`` holds the first ones, ``alert_count`` all of them."""

    incident_id: str
    title: str
    description: str
    severity: str
    labels: dict[str, str]
    affected_systems: tuple[str, ...] = ()
    runbook_urls: tuple[str, ...] = ()
    alerts: tuple[AlertSummary, ...] = ()
    alert_count: int = 0
    recurrence_of: str | None = None


@event_type("sage.incident.alert.received")
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsReceived(Payload):
    """Alerts joined an incident; ``alerts`` holds the first ones of ``alert_count``."""

    incident_id: str
    alerts: tuple[AlertSummary, ...]
    alert_count: int


@event_type("sage.incident.alert.resolved")
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsResolved(Payload):
    """Their source says these alerts ended; ``firing_count`` of the incident still fire."""

    incident_id: str
    alerts: tuple[AlertSummary, ...]
    alert_count: int
    firing_count: int


@event_type("sage.incident.acknowledged")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAcknowledged(Payload):
    """Somebody has seen it."""

    incident_id: str
    acknowledged_by: str


@event_type("sage.incident.assigned")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAssigned(Payload):
    """Somebody owns it."""

    incident_id: str
    assignee: str


@event_type("sage.incident.assessing")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentAssessing(Payload):
    """Severity and impact are being found out."""

    incident_id: str


@event_type("sage.incident.responding")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentResponding(Payload):
    """It is being repaired."""

    incident_id: str
    severity: str
    impact: str


@event_type("sage.incident.communicated")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentCommunicated(Payload):
    """A stakeholder update, on the timeline."""

    incident_id: str
    message: str


@event_type("sage.incident.updated")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentUpdated(Payload):
    """Fields changed; ``fields`` names them."""

    incident_id: str
    fields: tuple[str, ...]


@event_type("sage.incident.resolved")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentResolved(Payload):
    """It is over. ``resolved_by`` is a principal, or ``source`` when every alert ended."""

    incident_id: str
    title: str
    resolution: str
    root_cause: str
    resolved_by: str
    severity: str
    labels: dict[str, str]


@event_type("sage.incident.reopened")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentReopened(Payload):
    """It was not over."""

    incident_id: str
    reason: str
    reopen_count: int


@event_type("sage.incident.closed")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentClosed(Payload):
    """Its review is final, or was waived with a reason."""

    incident_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One line of a dossier: what was found, where, and why it is shown.

    Attributes:
        score: 0 to 1.
        strong: whether the score is above the evidence threshold; weak lines are shown as hints.
        reasons: why, in words, for the person who reads the dossier.
    """

    source_type: SourceType
    source_id: str
    external_id: str | None
    title: str
    excerpt: str
    score: float
    strong: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookStep:
    """One step of a runbook, in its own words."""

    title: str
    detail: str = ""


@event_type("sage.incident.dossier.ready")
@dataclass(frozen=True, slots=True, kw_only=True)
class DossierReady(Payload):
    """What the guild already knows about an incident.

    ``steps`` are those of ``runbook``, the best runbook with strong evidence; both are empty
    where there is none.
    """

    incident_id: str
    title: str
    priority: str
    similar: tuple[Evidence, ...] = ()
    runbooks: tuple[Evidence, ...] = ()
    open_work: tuple[Evidence, ...] = ()
    runbook: Evidence | None = None
    steps: tuple[RunbookStep, ...] = ()


@event_type("sage.incident.review.drafted")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDrafted(Payload):
    """A post-incident review was filled from the timeline and waits for a person."""

    incident_id: str
    review_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewAction:
    """Something to do so that it does not happen again."""

    title: str
    owner: str | None = None
    due_at: datetime | None = None


@event_type("sage.incident.review.published")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPublished(Payload):
    """A person made the review final; the Knowledge sage writes it down, with them as author."""

    incident_id: str
    review_id: str
    title: str
    summary: str
    content: str
    author_id: str
    severity: str
    labels: dict[str, str]
    alert_names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    actions: tuple[ReviewAction, ...] = ()


# --- Task -------------------------------------------------------------------------------------


@event_type("sage.task.created")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCreated(Payload):
    """A task exists, in whole, so that search can show it."""

    task_id: str
    name: str
    description: str
    status: str
    priority: str
    incident_refs: tuple[str, ...] = ()
    knowledge_refs: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@event_type("sage.task.updated")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUpdated(TaskCreated):
    """A task changed without changing state; carries it whole."""


@event_type("sage.task.assigned")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAssigned(TaskCreated):
    """Somebody is to do it; None: nobody any more."""

    assignee: str | None = None


@event_type("sage.task.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted(TaskCreated):
    """Somebody works on it."""


@event_type("sage.task.completed")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(TaskCreated):
    """It is done."""

    result: str = ""


@event_type("sage.task.failed")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(TaskCreated):
    """It did not work out."""

    error: str = ""


@event_type("sage.task.cancelled")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelled(TaskCreated):
    """It will not be done."""

    reason: str = ""


@event_type("sage.task.blocked")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBlocked(TaskCreated):
    """It waits for something else."""


@event_type("sage.task.unblocked")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUnblocked(TaskCreated):
    """What it waited for is done."""


@event_type("sage.task.deleted")
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDeleted(Payload):
    """It is gone from every list and search."""

    task_id: str


# --- Knowledge --------------------------------------------------------------------------------


@event_type("sage.knowledge.created")
@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeCreated(Payload):
    """Something was learned; carries the text so that search can show it.

    Attributes:
        source_references: where it comes from, such as the id of an incident or a review.
        labels: labels of the alerts it explains, for matching the next ones.
    """

    entity_id: str
    title: str
    content: str
    summary: str
    status: str
    category_id: str
    access_level: str = "protected"
    tags: tuple[str, ...] = ()
    source_references: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    alert_names: tuple[str, ...] = ()


@event_type("sage.knowledge.updated")
@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeUpdated(KnowledgeCreated):
    """It reads differently now; carries it whole."""


@event_type("sage.knowledge.deleted")
@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeDeleted(Payload):
    """It is hidden from every search at once; its versions stay."""

    entity_id: str


# --- RAG --------------------------------------------------------------------------------------


@event_type("sage.rag.document.indexed")
@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentIndexed(Payload):
    """A source's passages were stored or replaced.

    ``leg`` says which half of search can use them from this position on: lexical at once, dense
    when the passages' embeddings are there.
    """

    source_type: SourceType
    source_id: str
    source_version: int
    chunk_count: int
    leg: Literal["lexical", "dense"]


@event_type("sage.rag.document.deleted")
@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDeleted(Payload):
    """A source left the index."""

    source_type: SourceType
    source_id: str


# --- Identity ---------------------------------------------------------------------------------


@event_type("user.created")
@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalCreated(Payload):
    """A user (``role`` says which) or a client (no role) may sign in from now on."""

    principal_id: str
    kind: str
    login: str
    role: str | None = None


@event_type("user.updated")
@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalUpdated(Payload):
    """A user or a client was changed; ``fields`` names what, never the values."""

    principal_id: str
    fields: tuple[str, ...]


# --- System -----------------------------------------------------------------------------------


@event_type("system.delivery.dead_lettered")
@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDeadLettered(Payload):
    """An event was given up on for one subscription; it can be redriven."""

    subscription: str
    event_id: str
    attempts: int
    reason: str


def payload_types() -> tuple[type[Payload], ...]:
    """Every registered payload class, by wire name."""
    return tuple(_registry[name] for name in registered())
