"""Everything of the bus that crosses a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from actors.audit import AuditEntry, AuditOutcome, AuditRecord
from actors.events import Priority, StoredEvent
from actors.runtime.message import Command, GuildId, Position, Query
from actors.storage.frontier import Frontier

# --- Publishing and reading -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event as its publisher gives it; the envelope was checked, the payload was not.

    Attributes:
        source: URI reference of the publisher; with ``source_id`` the event's identity.
        data: a JSON value as text.
        subject: what of the source it is about.
        partition_key: events of one key are delivered in order; default the subject, then the
            source.
        data_subject: the person under whose key the payload is kept; None: it is kept in clear.
        attributes: extension attributes that mean nothing to us.
    """

    source: str
    source_id: str
    type: str
    data: str
    subject: str | None = None
    occurred_at: datetime | None = None
    priority: Priority = Priority.NORMAL
    correlation_id: str | None = None
    causation_id: str | None = None
    partition_key: str | None = None
    data_subject: str | None = None
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of one event. A duplicate answers id and position of the first."""

    event_id: str
    position: Position
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishEvents(Command[tuple[Published, ...]]):
    """Appends events, all or none; answers one entry for each, in order, after the commit.

    Repeating it is harmless without an inbox row: ``(source, source_id)`` is found again.
    """

    routine: ClassVar[bool] = True

    events: tuple[NewEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """A stretch of the guild's log. ``next_cursor`` is None at its end."""

    events: tuple[StoredEvent, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowseEvents(Query[EventPage]):
    """The guild's events, newest first unless ``oldest_first``.

    Those whose data subject was erased are there without a payload: `Erased`.
    """

    types: tuple[str, ...] = ()
    correlation_id: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    oldest_first: bool = False
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What is new. ``frontier`` goes into the next question.

    Attributes:
        resume: a position after which nothing of what was shown is lost; some may be shown again.
    """

    events: tuple[StoredEvent, ...]
    frontier: Frontier
    resume: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class TailEvents(Query[Tail]):
    """Events behind a frontier, waiting up to ``wait_s`` for the first.

    Attributes:
        frontier: of the last answer, or ``Frontier.at(position)``; None: from now on.
        filter_spec: as in `PutSubscription`, without a meaning.
    """

    frontier: Frontier | None = None
    filter_spec: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 200
    wait_s: float = 10.0


# --- Subscriptions ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSink:
    """A pool of actors; ``batch`` above 1: it handles `DeliverEvents`."""

    kind: Literal["pool"] = "pool"
    pool: str
    batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSink:
    """An address that takes CloudEvents over HTTP.

    Attributes:
        batch: most events of one request; above 1 it takes CloudEvents' batch format.
        key_version: rises with each rotation; the guild counts.
        per_minute: requests that the address allows; None: any number. It says so itself.
    """

    kind: Literal["webhook"] = "webhook"
    url: str
    batch: int = 1
    key_version: int = 1
    per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSink:
    """Events wait in PostgreSQL until they are pulled and acknowledged."""

    kind: Literal["pull"] = "pull"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSink:
    """A Redis Stream, ``guild:<guild_id>:<stream>``."""

    kind: Literal["stream"] = "stream"
    stream: str
    max_length: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SseSink:
    """Nothing is kept or sent: the filter of a stream that clients open and resume."""

    kind: Literal["sse"] = "sse"


Sink = Annotated[
    PoolSink | WebhookSink | PullSink | StreamSink | SseSink, pydantic.Discriminator("kind")
]
stored_sink: pydantic.TypeAdapter[Sink] = pydantic.TypeAdapter(Sink)
"""How a sink stands in ``subscriptions.sink``: by its fields, ``kind`` among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """How hard the router tries. Seconds.

    Attributes:
        ordering: ``aggregate``: one aggregate's events wait for each other; ``none``: they do not.
        backoff_s: pause after each failure; the last one repeats.
    """

    ordering: Literal["aggregate", "none"] = "aggregate"
    ack_deadline_s: float = 30.0
    max_attempts: int = 5
    backoff_s: tuple[float, ...] = (0.1, 0.5, 2.0, 5.0)
    max_in_flight: int = 64


stored_delivery = pydantic.TypeAdapter(DeliveryPolicy)
"""How a policy stands in ``subscriptions.delivery``."""

SubscriptionState = Literal["active", "paused", "disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a guild declared.

    Attributes:
        generation: rises when it is made to begin elsewhere; part of the ids of its deliveries.
        filter_spec: ``types``, ``expression``, ``similar_to`` and ``min_score``, as given.
        reason: why it is disabled.
    """

    name: str
    subscription_id: str
    generation: int
    filter_spec: Mapping[str, Any]
    sink: Sink
    delivery: DeliveryPolicy
    state: SubscriptionState
    reason: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a subscription has come.

    Attributes:
        cursor: everything at or below is finished; None: the router has not begun.
        lag: wanted types behind the cursor, counted up to ``router.max_lag_counted``.
        oldest_unacked_s: age of the oldest of them; 0 where there is none.
        waiting: lines that wait to be pulled.
        dead_letters: those that wait for somebody.
    """

    cursor: Position | None
    lag: int
    oldest_unacked_s: float
    waiting: int
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionInfo:
    """A subscription and how it stands.

    Attributes:
        secret: there once: when a webhook was made, or its secret rotated.
        made: by the command that is answered; there was none before.
    """

    subscription: Subscription
    progress: Progress
    secret: str | None = None
    made: bool = field(default=False, compare=False)


Origin = Literal["beginning", "end"] | Position | datetime
"""Where to begin: a position is exclusive, a time inclusive (by when events were recorded)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutSubscription(Command[SubscriptionInfo]):
    """Makes or replaces a subscription. ``begin`` counts only when it is made.

    A guild's events are compared with its meanings once: where it asked for one before, another
    one that begins in the past hears nothing of what was compared without it.

    ``expected_version`` None: whatever there is; 0: there must be none.
    """

    name: str
    filter_spec: Mapping[str, Any]
    sink: Sink
    delivery: DeliveryPolicy = DeliveryPolicy()
    begin: Origin = "end"
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSubscription(Command[None]):
    """It is gone, with what waited to be pulled; its dead letters stay."""

    name: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSubscription(Query[SubscriptionInfo]):
    """One of the guild's own, by name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionPage:
    """A page by name. ``next_cursor`` is None at the end."""

    subscriptions: tuple[SubscriptionInfo, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSubscriptions(Query[SubscriptionPage]):
    """The guild's own, by name."""

    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSubscription(Command[SubscriptionInfo]):
    """Nothing is delivered until it is resumed; nothing is lost."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSubscription(Command[SubscriptionInfo]):
    """Goes on where it stopped; also lifts ``disabled``, after a webhook has agreed again."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeekSubscription(Command[SubscriptionInfo]):
    """Begins anew elsewhere, as a new generation: what is heard again takes effect again."""

    name: str
    to: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSecret(Command[SubscriptionInfo]):
    """A new signing secret; deliveries carry both signatures until the next rotation."""

    name: str


# --- Pulling ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledEvent:
    """An event on loan. ``ack_id`` names this attempt of it, and no other."""

    ack_id: str
    event: StoredEvent
    attempt: int
    lease_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PullEvents(Command[tuple[PulledEvent, ...]]):
    """Takes what may be delivered now, waiting up to ``wait_s`` for the first."""

    name: str
    max_events: int = 10
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AckEvents(Command[None]):
    """These attempts took effect, all or none.

    Raises:
        LateAck: the lease of one has passed, or it was acknowledged under another attempt.
    """

    name: str
    ack_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NackEvents(Command[None]):
    """These attempts failed: again after ``delay_s``, default the subscription's backoff."""

    name: str
    ack_ids: tuple[str, ...]
    delay_s: float | None = None
    reason: str = ""


# --- Dead letters and replays -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that was given up.

    Attributes:
        event: None where its payload was erased, cannot be read, or is not for the caller to see.
        subscription: name, of a built-in one or the guild's own.
        state: ``waiting``, ``requested`` (to be redriven), ``redriven``, ``discarded``.
    """

    subscription: str
    event_id: str
    event_type: str
    event: StoredEvent | None
    attempts: int
    reason: str
    state: Literal["waiting", "requested", "redriven", "discarded"]
    dead_at: datetime
    requested_by: str | None
    redriven_at: datetime | None
    discarded_at: datetime | None
    discarded_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPage:
    """A page, newest first. ``next_cursor`` is None at the end."""

    dead_letters: tuple[DeadLetter, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDeadLetters(Query[DeadLetterPage]):
    """The guild's dead letters."""

    subscription: str | None = None
    states: tuple[str, ...] = ("waiting", "requested")
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveDeadLetters(Command[int]):
    """Asks for another delivery; answers how many were asked for. Empty ids: all that wait."""

    subscription: str
    event_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardDeadLetters(Command[int]):
    """Nobody shall deliver these any more; they stay listed as discarded."""

    subscription: str
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A stretch of the log that one subscription hears again. ``speed`` 0 is full, 1 original."""

    replay_id: str
    subscription: str
    begin: Position
    end: Position
    speed: float
    state: Literal["running", "completed", "cancelled"]
    delivered: int
    version: int
    created_at: datetime
    created_by: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReplay(Command[Replay]):
    """Delivers a stretch again, to one named subscription only; takes effect again there."""

    subscription: str
    begin: Origin
    end: Origin = "end"
    speed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GetReplay(Query[Replay]):
    """One replay."""

    replay_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPage:
    """A page, newest first. ``next_cursor`` is None at the end."""

    replays: tuple[Replay, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReplays(Query[ReplayPage]):
    """The guild's replays."""

    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReplay(Command[Replay]):
    """Stops it where it is."""

    replay_id: str


# --- Timers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Something that publishes ``system.timer.fired`` when it is time."""

    timer_id: str
    name: str
    due_at: datetime
    cron: str | None
    timezone: str
    data: Mapping[str, Any]
    state: Literal["pending", "fired", "cancelled"]
    fired: int
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer(Command[Timer]):
    """Once at ``due_at``, or again and again by ``cron`` (five fields) in ``timezone``."""

    name: str
    due_at: datetime | None = None
    cron: str | None = None
    timezone: str = "UTC"
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimer(Command[Timer]):
    """It will not fire any more."""

    timer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetTimer(Query[Timer]):
    """One timer."""

    timer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerPage:
    """A page, the next due first. ``next_cursor`` is None at the end."""

    timers: tuple[Timer, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTimers(Query[TimerPage]):
    """The guild's timers."""

    states: tuple[str, ...] = ("pending",)
    cursor: str | None = None
    limit: int = 50


# --- Sagas ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """A process of several steps and how each stands."""

    saga_id: str
    kind: str
    state: Literal["running", "completed", "compensating", "compensated", "failed"]
    steps: Mapping[str, str]
    reason: str
    correlation_id: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSaga(Query[Saga]):
    """One saga."""

    saga_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaPage:
    """A page, newest first. ``next_cursor`` is None at the end."""

    sagas: tuple[Saga, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSagas(Query[SagaPage]):
    """The guild's sagas."""

    states: tuple[str, ...] = ()
    cursor: str | None = None
    limit: int = 50


# --- Erasure ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The proof that a data subject's key is gone.

    Attributes:
        subject_digest: what its events bear as ``sealed_for``.
        erased_at: when it was erased first.
    """

    subject_digest: str
    erased_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseSubject(Command[Erasure]):
    """Destroys the key of a data subject: what was sealed under it is read by nobody again.

    Publishing for this subject is refused from now on. Its events stay in the log as envelopes;
    its dead letters are discarded. Needs `Permission.ADMIN`. Repeating it is harmless without an
    inbox row.
    """

    subject: str


# --- The audit log ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Some entries, the newest first."""

    entries: tuple[AuditRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAudit(Query[AuditPage]):
    """Who did what in the guild; for administrators.

    Attributes:
        since: not before this.
        until: before this.
    """

    actor: str | None = None
    action: str | None = None
    outcome: AuditOutcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAudit(Command[None]):
    """What the gateway saw, and no transaction tells: sign-ins, and what was refused."""

    entries: tuple[AuditEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom a login belongs to, without the login."""

    guild_id: GuildId
    principal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindAccounts(Query[tuple[Account | None, ...]]):
    """Whose logins these are, in their order; None: nobody's."""

    logins: tuple[str, ...] = field(repr=False)  # what somebody typed into the wrong field
