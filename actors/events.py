"""Events: the only contract between sages.

A payload is a frozen dataclass registered under its wire name. `StoredEvent` is a payload with its
envelope as the log keeps it; `DeliverEvent` is how the router hands one to a sage.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import TypeAdapter

from actors.runtime.message import Delivery, GuildId, Position


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
    """What happened. Subclasses name their wire type and are otherwise plain data.

    Attributes:
        schema_version: rises when a change of the class would surprise a reader of the old one.
        public: may be published from outside.
    """

    type: ClassVar[str]
    schema_version: ClassVar[int] = 1
    public: ClassVar[bool] = False

    @property
    def data_subject(self) -> str | None:
        """Under whose key the log keeps it; None: in clear.

        A class whose payloads say who a person is answers that person's id.
        """
        return None


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


CUSTOM_PREFIX = "custom."


@event_type("custom.event")
@dataclass(frozen=True, slots=True, kw_only=True)
class CustomEvent(Payload):
    """What somebody outside says happened, under a type of their own; we only carry it.

    Attributes:
        name: wire type, beginning with ``custom.``.
        data: a JSON value as text, unread.
    """

    public: ClassVar[bool] = True

    name: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased(Payload):
    """What is left of a payload whose data subject was erased: of which type it was."""

    name: str


def encode(payload: Payload) -> str:
    """The payload as JSON text."""
    match payload:
        case CustomEvent():
            return payload.data
        case Erased():
            return "null"
        case _:
            return _adapters[payload.type].dump_json(payload).decode()


def decode(name: str, data: str | bytes) -> Payload:
    """The payload that ``encode`` wrote.

    Raises:
        KeyError: no payload is registered under ``name``.
        pydantic.ValidationError: the JSON is not that payload.
    """
    if name.startswith(CUSTOM_PREFIX):
        return CustomEvent(name=name, data=data if isinstance(data, str) else data.decode())
    payload: Payload = _adapters[name].validate_json(data)
    return payload


def wire_type(payload: Payload) -> str:
    """Under which name it stands in the log."""
    match payload:
        case CustomEvent(name=name) | Erased(name=name):
            return name
        case _:
            return payload.type


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
        source_id: the publisher's own id of it, where that is not ``event_id``.
        subject: what of the source it is about, as its publisher calls it.
        attributes: extension attributes of a CloudEvent.
        sealed_for: the data subject under whose key the log keeps the payload: a digest, which
            tells nobody the name and is the same for all of a guild's events about this subject.
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
    recorded_at: datetime | None = None
    source_id: str | None = None
    subject: str | None = None
    schema_version: int = 1
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    sealed_for: str | None = None

    @property
    def type(self) -> str:
        """Wire name of the payload."""
        return wire_type(self.payload)

    @property
    def is_erased(self) -> bool:
        """Whether its data subject was erased: the envelope is all there is."""
        return isinstance(self.payload, Erased)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverEvent(Delivery[None]):
    """The router hands one event to one subscription. Delivered at least once, takes effect once.

    ``command_id`` is ``<subscription>/<event_id>``: the receiving sage records it in the
    transaction of its effect, and a second delivery finds it there.
    """

    routine: ClassVar[bool] = True

    subscription: str
    event: StoredEvent

    @property
    def key(self) -> str:
        """One aggregate's events are handled one at a time, in order."""
        return self.event.aggregate_id


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverEvents(Delivery[None]):
    """Several events of one guild for one subscription that takes batches: all or none.

    The receiver passes over those whose own ``<subscription>/<event_id>`` is in its inbox, handles
    the others, and records them, in one transaction. ``command_id`` names the batch for logs only.
    """

    routine: ClassVar[bool] = True

    subscription: str
    events: tuple[StoredEvent, ...]


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
    """It is over. ``resolved_by`` is a principal, or ``source`` when every alert ended.

    Attributes:
        helped: ids of the sources in its dossier that helped to resolve it.
    """

    incident_id: str
    title: str
    resolution: str
    root_cause: str
    resolved_by: str
    severity: str
    labels: dict[str, str]
    helped: tuple[str, ...] = ()


@event_type("sage.incident.escalated")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEscalated(Payload):
    """Nobody took it in time. ``level`` counts from 1."""

    incident_id: str
    title: str
    severity: str
    level: int
    reason: str


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


@event_type("sage.rag.model.switched")
@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSwitched(Payload):
    """From this position on all vectors of the guild come from another model.

    Attributes:
        model_id: of the new ones.
        dimension: of the new ones.
        passages: that have a vector of it; the others get theirs in the background.
    """

    model_id: str
    dimension: int
    passages: int


@event_type("sage.rag.feedback.recorded")
@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecorded(Payload):
    """It was said of sources whether they answer a query. The query's text stays out of the log.

    Attributes:
        query_sha256: of the query, in small letters and with single spaces.
        incident_id: whose outcome says so; None: somebody has said so.
    """

    query_sha256: str
    source_ids: tuple[str, ...]
    relevant: bool
    incident_id: str | None = None


@event_type("sage.rag.feedback.forgotten")
@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackForgotten(Payload):
    """All feedback of the guild was forgotten; ``feedbacks`` says how much there was."""

    feedbacks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionMatch:
    """A standing query that an event is close to; ``score`` is the cosine, -1 to 1."""

    subscription_id: str
    score: float


@event_type("sage.rag.subscription.matched")
@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionMatched(Payload):
    """An event is about what somebody asked to hear of.

    Attributes:
        matches: best first.
        event: the whole original event, as `actors.carried` writes it: a JSON object; the
            subscription's sink gets this one.
    """

    event_id: str
    event_type: str
    matches: tuple[SubscriptionMatch, ...]
    event: str


# --- Identity ---------------------------------------------------------------------------------


@event_type("user.created")
@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalCreated(Payload):
    """A user (``role`` says which) or a client (no role) may sign in from now on."""

    principal_id: str
    kind: str
    login: str
    role: str | None = None

    @property
    def data_subject(self) -> str | None:
        """A user is a person, and known by the login; a client is a program."""
        return self.principal_id if self.kind == "user" else None


@event_type("user.updated")
@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalUpdated(Payload):
    """A user or a client was changed; ``fields`` names what, never the values."""

    principal_id: str
    fields: tuple[str, ...]


@event_type("user.disabled")
@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalDisabled(Payload):
    """A user or a client may not sign in any more; what it held is refused."""

    principal_id: str


@event_type("user.session.started")
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Payload):
    """A person signed in; ``client_id`` names the program that acts for them, if it is not ours."""

    session_id: str
    principal_id: str
    client_id: str


@event_type("user.session.ended")
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Payload):
    """None of its tokens is good any more.

    Attributes:
        reason: ``revoked`` by whoever held it, ``reused``: a token or code came a second time,
            ``changed``: the person or the client was changed or disabled.
    """

    session_id: str
    principal_id: str
    client_id: str
    reason: str


# --- System -----------------------------------------------------------------------------------


@event_type("system.delivery.dead_lettered")
@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDeadLettered(Payload):
    """An event was given up on for one subscription; it can be redriven."""

    subscription: str
    event_id: str
    attempts: int
    reason: str
    event_type: str = ""


@event_type("system.delivery.redriven")
@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRedriven(Payload):
    """A dead letter was delivered once more and took effect."""

    subscription: str
    event_id: str
    requested_by: str


@event_type("system.replay.completed")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCompleted(Payload):
    """A subscription has heard again what it asked for."""

    replay_id: str
    subscription: str
    delivered: int


@event_type("system.timer.fired")
@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(Payload):
    """It is time. ``occurrence`` counts from 1; more than 1 only for a cron timer."""

    timer_id: str
    name: str
    due_at: datetime
    occurrence: int
    data: dict[str, Any] = field(default_factory=dict)


@event_type("system.saga.finished")
@dataclass(frozen=True, slots=True, kw_only=True)
class SagaFinished(Payload):
    """A saga has come to its end, or undid what it had done and says why."""

    saga_id: str
    kind: str
    outcome: Literal["completed", "compensated", "failed"]
    reason: str = ""


@event_type("system.subject.erased")
@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectErased(Payload):
    """A data subject's key was destroyed.

    ``subject_digest`` stands in ``sealed_for`` of the events that nobody can read any more.
    """

    subject_digest: str


# --- Integration ------------------------------------------------------------------------------


@event_type("integration.sync.required")
@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationSyncRequired(Payload):
    """Another system has something that should be fetched."""

    public: ClassVar[bool] = True

    system: str
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@event_type("integration.conflict.detected")
@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationConflictDetected(IntegrationSyncRequired):
    """Two systems say different things about the same."""


@event_type("integration.recovery.completed")
@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationRecoveryCompleted(IntegrationSyncRequired):
    """The other system is back and agrees."""


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a registered payload's ``data``.

    Raises:
        KeyError: no payload is registered under ``name``.
    """
    if name == CustomEvent.type:
        return {"description": "Any JSON at all, under a type of your own: custom.*"}
    return _adapters[name].json_schema()


def payload_types() -> tuple[type[Payload], ...]:
    """Every registered payload class, by wire name."""
    return tuple(_registry[name] for name in registered())
