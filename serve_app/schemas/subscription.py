"""Subscriptions over HTTP: the declaration, how it stands, and what is done with it."""

from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field

from actors.bus import messages
from actors.bus.messages import (
    DeliveryPolicy,
    PullSink,
    PutSubscription,
    SeekSubscription,
    SseSink,
    StartReplay,
    SubscriptionInfo,
)
from actors.runtime.message import Context
from serve_app.call import Origin
from serve_app.schemas.common import Paging, example
from serve_app.schemas.place import Place, Seconds
from serve_app.strict import Integer, Line, Shown, Strict, View, Words

_Pattern = Annotated[Line, Field(max_length=200)]
_Score = Annotated[float, Field(strict=True, ge=-1, le=1, allow_inf_nan=False)]
_Name = Annotated[Line, Field(max_length=63)]
_POLICY = DeliveryPolicy()


class FilterIn(Strict):
    """Which events; all parts must agree, an absent part agrees with everything."""

    types: tuple[_Pattern, ...] | None = Field(default=None, max_length=100)
    expression: Words | None = Field(default=None, max_length=4_000)
    similar_to: Words | None = Field(default=None, max_length=20_000)
    min_score: _Score | None = None

    def to_spec(self) -> dict[str, Any]:
        """What was given."""
        return self.model_dump(exclude_none=True, mode="json")


class PoolSinkIn(Strict):
    """A pool of actors; an administrator's."""

    kind: Literal["pool"]
    pool: _Name
    batch: Integer = 1

    def to_sink(self) -> messages.PoolSink:
        """The sink."""
        return messages.PoolSink(pool=self.pool, batch=self.batch)


class WebhookSinkIn(Strict):
    """An address that takes CloudEvents over HTTP; it is asked whether it wants them."""

    kind: Literal["webhook"]
    url: Line = Field(max_length=2_000)

    def to_sink(self) -> messages.WebhookSink:
        """The sink, under its first key."""
        return messages.WebhookSink(url=self.url)


class PullSinkIn(Strict):
    """Events wait until they are pulled and acknowledged."""

    kind: Literal["pull"]

    def to_sink(self) -> PullSink:
        """The sink."""
        return PullSink()


class StreamSinkIn(Strict):
    """A Redis Stream of the guild's own."""

    kind: Literal["stream"]
    stream: _Name
    max_length: Integer = 10_000

    def to_sink(self) -> messages.StreamSink:
        """The sink."""
        return messages.StreamSink(stream=self.stream, max_length=self.max_length)


class SseSinkIn(Strict):
    """The filter of a stream that clients open."""

    kind: Literal["sse"]

    def to_sink(self) -> SseSink:
        """The sink."""
        return SseSink()


_SinkIn = Annotated[
    PoolSinkIn | WebhookSinkIn | PullSinkIn | StreamSinkIn | SseSinkIn,
    Field(discriminator="kind"),
]


class DeliveryIn(Strict):
    """How hard is tried. ``aggregate``: the events of one aggregate wait for each other."""

    ordering: Literal["aggregate", "none"] = _POLICY.ordering
    ack_deadline_s: Seconds = _POLICY.ack_deadline_s
    max_attempts: Integer = _POLICY.max_attempts
    backoff_s: tuple[Seconds, ...] = Field(default=_POLICY.backoff_s, max_length=1_000)
    max_in_flight: Integer = _POLICY.max_in_flight

    def to_policy(self) -> DeliveryPolicy:
        """The policy."""
        return DeliveryPolicy(
            ordering=self.ordering,
            ack_deadline_s=self.ack_deadline_s,
            max_attempts=self.max_attempts,
            backoff_s=self.backoff_s,
            max_in_flight=self.max_in_flight,
        )


class SubscriptionIn(Strict):
    """What a guild wants to hear, and how. ``begin`` counts only when it is made."""

    filter: FilterIn = Field(default_factory=FilterIn)
    sink: _SinkIn
    delivery: DeliveryIn = Field(default_factory=DeliveryIn)
    begin: Place = "end"

    model_config = ConfigDict(
        json_schema_extra=example(
            filter={"types": ["sage.incident.*"]},
            sink={"kind": "pull"},
            delivery={"ack_deadline_s": 30, "max_attempts": 5, "backoff_s": [1, 10, 60]},
            begin="beginning",
        )
    )

    def to_message(self, origin: Origin, name: str, version: int | None) -> PutSubscription:
        """The command; ``version`` 0: there must be none."""
        return PutSubscription(
            **origin,
            name=name,
            filter_spec=self.filter.to_spec(),
            sink=self.sink.to_sink(),
            delivery=self.delivery.to_policy(),
            begin=self.begin,
            expected_version=version,
        )


class SeekIn(Strict):
    """Where it goes on; what it hears again takes effect again."""

    to: Place

    model_config = ConfigDict(json_schema_extra=example(to={"time": "2026-03-01T12:00:00Z"}))

    def to_message(self, origin: Origin, name: str) -> SeekSubscription:
        """The command."""
        return SeekSubscription(**origin, name=name, to=self.to)


class StretchIn(Strict):
    """A stretch of the log. ``speed`` 0: as fast as it goes, 1: as it happened."""

    begin: Place
    end: Place = "end"
    speed: Seconds = 0.0

    model_config = ConfigDict(
        json_schema_extra=example(begin="beginning", end={"position": "1-7421-12"}, speed=0)
    )

    def to_message(self, origin: Origin, subscription: str) -> StartReplay:
        """The command."""
        return StartReplay(
            **origin, subscription=subscription, begin=self.begin, end=self.end, speed=self.speed
        )


class SubscriptionFilter(Paging):
    """Which part of the list."""

    def to_message(self, context: Context) -> messages.ListSubscriptions:
        """The question."""
        return messages.ListSubscriptions(context=context, limit=self.limit, cursor=self.cursor)


class FilterView(View):
    """Which events."""

    types: tuple[str, ...]
    expression: str | None
    similar_to: str | None
    min_score: float | None


class PoolSinkView(View):
    """A pool of actors."""

    kind: Literal["pool"]
    pool: str
    batch: int


class WebhookSinkView(View):
    """An address; ``key_version`` rises with each rotation of its secret."""

    kind: Literal["webhook"]
    url: str
    key_version: int


class PullSinkView(View):
    """Events wait until they are pulled and acknowledged."""

    kind: Literal["pull"]


class StreamSinkView(View):
    """A Redis Stream."""

    kind: Literal["stream"]
    stream: str
    max_length: int


class SseSinkView(View):
    """The filter of a stream that clients open."""

    kind: Literal["sse"]


_SinkView = Annotated[
    PoolSinkView | WebhookSinkView | PullSinkView | StreamSinkView | SseSinkView,
    Field(discriminator="kind"),
]


class DeliveryView(View):
    """How hard is tried."""

    ordering: Literal["aggregate", "none"]
    ack_deadline_s: float
    max_attempts: int
    backoff_s: tuple[float, ...]
    max_in_flight: int


class ProgressView(View):
    """How far it has come.

    ``lag`` counts wanted events behind ``cursor``, up to a bound; ``waiting`` those to be pulled.
    """

    cursor: str | None
    lag: int
    oldest_unacked_s: float
    waiting: int
    dead_letters: int


class SubscriptionView(View):
    """A subscription and how it stands."""

    name: str
    subscription_id: str
    filter: FilterView
    sink: _SinkView
    delivery: DeliveryView
    state: Literal["active", "paused", "disabled"]
    reason: str
    generation: int
    version: int
    created_at: Shown
    created_by: str
    updated_at: Shown
    progress: ProgressView

    @classmethod
    def from_reply(cls, info: SubscriptionInfo, *, whole: bool) -> "SubscriptionView":
        """The view; not ``whole``: of a webhook's address only whose it is."""
        return cls(**_fields(info, whole=whole))


class SubscriptionWithSecretView(SubscriptionView):
    """The same, in the one answer that tells what deliveries are signed with."""

    secret: str

    @classmethod
    def from_made(cls, info: SubscriptionInfo) -> "SubscriptionWithSecretView":
        """The view."""
        return cls(**_fields(info, whole=True), secret=info.secret or "")


class SubscriptionsView(View):
    """A page of subscriptions, by name."""

    items: tuple[SubscriptionView, ...]
    next_cursor: str | None


def _fields(info: SubscriptionInfo, *, whole: bool) -> dict[str, Any]:
    one, progress = info.subscription, info.progress
    spec = one.filter_spec
    return {
        "name": one.name,
        "subscription_id": one.subscription_id,
        "filter": FilterView(
            types=tuple(spec.get("types") or ("*",)),
            expression=spec.get("expression"),
            similar_to=spec.get("similar_to"),
            min_score=spec.get("min_score"),
        ),
        "sink": _sink(one.sink, whole=whole),
        "delivery": DeliveryView.model_validate(one.delivery),
        "state": one.state,
        "reason": one.reason,
        "generation": one.generation,
        "version": one.version,
        "created_at": one.created_at,
        "created_by": one.created_by,
        "updated_at": one.updated_at,
        "progress": ProgressView(
            cursor=None if progress.cursor is None else str(progress.cursor),
            lag=progress.lag,
            oldest_unacked_s=round(progress.oldest_unacked_s, 3),
            waiting=progress.waiting,
            dead_letters=progress.dead_letters,
        ),
    }


def _sink(sink: messages.Sink, *, whole: bool) -> messages.Sink:
    match sink:
        case messages.WebhookSink() if not whole:
            address = urlsplit(sink.url)  # what stands behind the host is often a credential
            return replace(sink, url=f"{address.scheme}://{address.hostname}")
        case _:
            return sink
