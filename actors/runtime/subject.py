"""What the current task works on: it stands on every line that the task writes to the log."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import fields
from typing import Any

from actors import clock
from actors.runtime.message import Message

Fields = Mapping[str, str | None]

EVENT_PREFIX = "evt_"
_ENTITIES = (
    "incident_id",
    "task_id",
    "entity_id",
    "document_id",
    "category_id",
    "timer_id",
    "saga_id",
    "replay_id",
    "principal_id",
)


def _nothing() -> Fields:
    return {}


class Subject:
    """One request or message. Fields are asked for when a line is written, not before.

    A task that is begun while it lasts and outlives it has no subject any more.
    """

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], Fields]) -> None:
        self._ask = ask

    @property
    def fields(self) -> Fields:
        """What is known now."""
        return self._ask()

    def end(self) -> None:
        """Nobody works on it any more."""
        self._ask = _nothing


_current: ContextVar[Subject | None] = ContextVar("guild_subject", default=None)


def begin(ask: Callable[[], Fields]) -> Subject:
    """The current task works on this from now on; whoever began it ends it."""
    subject = Subject(ask)
    _current.set(subject)
    return subject


def known() -> Fields:
    """The fields of what the current task works on; empty where it is nothing."""
    subject = _current.get()
    return {} if subject is None else subject.fields


def of_message(message: Message[Any]) -> dict[str, str | None]:
    """Who asked for what, because of what. What caused it is an event or a request."""
    context = message.context
    cause = context.causation_id or ""
    by_event = cause.startswith(EVENT_PREFIX)
    return {
        "message_type": type(message).__name__,
        "event_id": cause if by_event else None,
        "request_id": None if by_event else cause,
        "correlation_id": context.correlation_id,
        "guild_id": context.caller.guild_id,
        "user_id": context.caller.principal_id,
        "entity_id": _entity(message),
    }


def _entity(message: Message[Any]) -> str | None:
    event = getattr(message, "event", None)
    name = _entity_field(type(message))
    found = event.aggregate_id if event is not None else name and getattr(message, name)
    return found if isinstance(found, str) and clock.is_id(found) else None


def _entity_field(kind: type[Any]) -> str | None:
    if kind not in _FIELDS:  # there are as many as classes of messages
        named = {one.name for one in fields(kind)}
        _FIELDS[kind] = next((name for name in _ENTITIES if name in named), None)
    return _FIELDS[kind]


_FIELDS: dict[type[Any], str | None] = {}
