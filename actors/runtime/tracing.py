"""Spans of what happens, from the request to the last effect: one trace for one correlation.

The id of a trace follows from the correlation id, which messages and events carry anyway: so the
router, hours later and in another process, goes on with the trace that a request began. A request
that brings a W3C ``traceparent`` and no correlation id gets one that holds the caller's trace id.

Ids of the first span and of an event's span follow from the correlation and the event in the same
way. That makes a tree of it: a delivery knows its parent without having been told.

Off by default. Then `span` answers one object that does nothing, and nothing is imported.
"""

import hashlib
import random
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from enum import IntEnum
from types import TracebackType
from typing import NamedTuple

_GIVEN = re.compile(r"trc_([0-9a-f]{32})-(0[01])-[0-9a-f]{16}")
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_CARRIED = 48  # hexadecimal digits of a trace id and a span id
_HALF = 1 << 64
_OF_REQUESTS = ("cor_", "trc_")  # their first span is the request's
Value = str | int | float


class Kind(IntEnum):
    """As OTLP numbers them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Place(NamedTuple):
    """A span within a trace, which others may hang on."""

    trace_id: int
    span_id: int


class Span:
    """Something that takes a while. Used by ``with``; ended, it is handed on.

    Attributes:
        parent_id: of the same trace; 0: it is the first.
        failed: why it did not go well; empty: it did.
    """

    __slots__ = (
        "_entered", "attributes", "begun_ns", "ended_ns", "failed", "kind", "link", "name",
        "parent_id", "place",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        kind: Kind,
        place: Place,
        parent_id: int,
        link: Place | None = None,
        **attributes: Value,
    ) -> None:
        self.name = name
        self.kind = kind
        self.place = place
        self.parent_id = parent_id
        self.link = link
        self.attributes: dict[str, Value] = attributes
        self.failed = ""
        self.begun_ns = self.ended_ns = time.time_ns()
        self._entered: Token[Place | None] | None = None

    def rename(self, name: str) -> None:
        """Now it is known what it is."""
        self.name = name

    def note(self, **attributes: Value) -> None:
        """Adds attributes."""
        self.attributes.update(attributes)

    def fail(self, code: str) -> None:
        """It did not go well."""
        self.failed = code

    def __enter__(self) -> "Span":
        self._entered = _current.set(self.place)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        if self._entered is not None:
            _current.reset(self._entered)
        if kind is not None and not self.failed:
            self.failed = kind.__name__
        self.end()

    def end(self) -> None:
        """Hands it on."""
        self.ended_ns = time.time_ns()
        if _state.hand_on is not None:
            _state.hand_on(self)


class _Nothing:
    """What a span is while nobody traces."""

    __slots__ = ()

    def rename(self, _: str) -> None:
        """Nothing."""

    def note(self, **_: Value) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def fail(self, _: str) -> None:
        """Nothing."""

    def __enter__(self) -> "_Nothing":
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _State:
    """Of this process."""

    hand_on: Callable[[Span], None] | None = None
    ratio: float = 1.0


_state = _State()
NOTHING = _Nothing()
_current: ContextVar[Place | None] = ContextVar("guild_span", default=None)

AnySpan = Span | _Nothing


def switch_on(hand_on: Callable[[Span], None], ratio: float) -> None:
    """From now on ended spans go there; ``ratio`` of the traces, the same in every process."""
    _state.hand_on, _state.ratio = hand_on, ratio


def switch_off() -> None:
    """The default."""
    _state.hand_on = None


def is_on() -> bool:
    """Whether this process traces."""
    return _state.hand_on is not None


def current() -> Place | None:
    """Where the current task is; None: nowhere, or nobody traces."""
    return _current.get()


def span(name: str, kind: Kind = Kind.INTERNAL, **attributes: Value) -> AnySpan:
    """A part of what the current task does; nothing where that is not traced."""
    if _state.hand_on is None:
        return NOTHING
    parent = _current.get()
    if parent is None:
        return NOTHING
    return Span(name, kind, _below(parent.trace_id), parent.span_id, None, **attributes)


def carried() -> str:
    """What a message takes along to the process that handles it; empty: nothing."""
    if _state.hand_on is None:
        return ""
    place = _current.get()
    return "" if place is None else f"{place.trace_id:032x}{place.span_id:016x}"


def received(carried: str, name: str, **attributes: Value) -> AnySpan:
    """The handling of a message that brought this along."""
    if _state.hand_on is None or len(carried) != _CARRIED:
        return NOTHING
    trace_id, parent_id = int(carried[:32], 16), int(carried[32:], 16)
    return Span(name, Kind.SERVER, _below(trace_id), parent_id, None, **attributes)


def correlation_of(headers: Mapping[bytes, bytes]) -> str:
    """A correlation id that holds the trace of a ``traceparent``; empty: there is none.

    Whether the caller wants it to be sampled is part of it. Each request has one of its own, also
    where the caller's trace has several.
    """
    if _state.hand_on is None:
        return ""
    given = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    if given is None or not int(given[1], 16) or not int(given[2], 16):
        return ""
    sampled = int(given[3], 16) & 1
    return f"trc_{given[1].decode()}-0{sampled}-{_random_id():016x}"


def request(correlation_id: str, headers: Mapping[bytes, bytes], *, begins: bool) -> AnySpan:
    """A request, whose name is known later.

    Args:
        correlation_id: of all that it causes.
        headers: of the request.
        begins: whether the correlation begins with it. Else others may have it too, and the span
            that all of them hang on is told again, the same each time.
    """
    if _state.hand_on is None:
        return NOTHING
    first = first_of(correlation_id)
    if not _sampled(correlation_id, first.trace_id):
        return NOTHING
    given = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    caller = None if given is None else Place(int(given[1], 16), int(given[2], 16))
    if begins:
        above = caller.span_id if caller is not None and caller.trace_id == first.trace_id else 0
        return Span("request", Kind.SERVER, first, above)
    Span("correlation", Kind.INTERNAL, first, 0).end()
    return Span("request", Kind.SERVER, _below(first.trace_id), first.span_id, caller)


def published(event_id: str, event_type: str, correlation_id: str) -> None:
    """An event was committed by what the current task does.

    Where that belongs to another correlation than the event, the two are linked.
    """
    if _state.hand_on is None:
        return
    first = first_of(correlation_id)
    if not _sampled(correlation_id, first.trace_id):
        return
    here = _current.get()
    within = here is not None and here.trace_id == first.trace_id
    if here is None and not correlation_id.startswith(_OF_REQUESTS):
        Span("correlation", Kind.INTERNAL, first, 0).end()  # work that nobody asked for
    parent_id = here.span_id if here is not None and within else first.span_id
    place = Place(first.trace_id, _span_id("event", event_id))
    Span(
        f"publish {event_type}",
        Kind.PRODUCER,
        place,
        parent_id,
        None if within else here,
        event_id=event_id,
    ).end()


def delivery(name: str, event_id: str, correlation_id: str) -> AnySpan:
    """An event on its way to somebody; hangs on the span of its publishing."""
    if _state.hand_on is None:
        return NOTHING
    trace_id = first_of(correlation_id).trace_id
    if not _sampled(correlation_id, trace_id):
        return NOTHING
    above = _span_id("event", event_id)
    return Span(name, Kind.CONSUMER, _below(trace_id), above, None, event_id=event_id)


def first_of(correlation_id: str) -> Place:
    """The first span of a correlation."""
    given = _GIVEN.fullmatch(correlation_id)
    digest = hashlib.sha256(f"guild-trace\x1f{correlation_id}".encode()).digest()
    trace_id = int(given[1], 16) if given else int.from_bytes(digest[:16])
    return Place(trace_id or 1, _span_id("correlation", correlation_id))


def _span_id(kind: str, of: str) -> int:
    digest = hashlib.sha256(f"guild-span\x1f{kind}\x1f{of}".encode()).digest()
    return int.from_bytes(digest[:8]) or 1


def _below(trace_id: int) -> Place:
    return Place(trace_id, _random_id())


def _random_id() -> int:
    return random.getrandbits(64) or 1  # nosec B311  # names a span, hides nothing


def _sampled(correlation_id: str, trace_id: int) -> bool:
    """Follows from the ids, so that all processes agree; who asked for it in so many words wins."""
    given = _GIVEN.fullmatch(correlation_id)
    if given is not None and given[2] == "01":
        return True
    return trace_id % _HALF < _state.ratio * _HALF
