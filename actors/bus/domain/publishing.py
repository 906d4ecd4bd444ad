"""What may be published from outside, and the line of the log it becomes. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
import pydantic

from actors import clock, events
from actors.bus.messages import NewEvent, PublishEvents
from actors.errors import ValidationError
from actors.events import CUSTOM_PREFIX, CustomEvent
from actors.settings import BusSettings

MAX_TYPE = 120
MAX_SOURCE_BYTES = 1_000
MAX_ID_BYTES = 500
MAX_WORD = 300
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTES_BYTES = 4_096
MAX_AGGREGATE = 200

_CUSTOM_TYPE = re.compile(r"custom\.[A-Za-z0-9][A-Za-z0-9._/:+-]*")
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
_UNPRINTED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # CloudEvents has none in a word
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_DAWN, _DUSK = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


class Line(NamedTuple):
    """One event as the log takes it; position and aggregate version are given by the log.

    ``sealed_for`` is the data subject's name, and in what the log keeps the digest of it, beside
    sealed ``data``.
    """

    event_id: str
    source: str
    source_id: str
    type: str
    schema_version: int
    subject: str | None
    aggregate_id: str
    priority: str
    occurred_at: datetime
    correlation_id: str
    causation_id: str | None
    principal_id: str
    attributes: str | None
    sealed_for: str | None
    data: str


def lines(
    command: PublishEvents,
    bounds: BusSettings,
    now: datetime,
    new_ids: clock.NewIds,
) -> list[Line]:
    """The lines of a request, in its order.

    Raises:
        ValidationError: one event may not be published; the field names it, ``events[3].type``.
    """
    given = command.events
    if not 1 <= len(given) <= bounds.max_batch_events:
        raise ValidationError("events", f"are not between 1 and {bounds.max_batch_events}")
    context = command.context
    principal_id, correlation_id = context.caller.principal_id, context.correlation_id
    if _UNPRINTED.search(correlation_id):
        raise ValidationError("correlationid", "holds a character that is none")
    made: list[Line] = []
    for index, (event, event_id) in enumerate(zip(given, new_ids("evt", len(given)), strict=True)):
        try:
            payload_type = _checked(event, bounds)
            made.append(
                Line(
                    event_id,
                    event.source,
                    event.source_id,
                    event.type,
                    payload_type.schema_version,
                    event.subject,
                    aggregate_id(event.source, event.partition_key or event.subject),
                    event.priority.value,
                    event.occurred_at or now,
                    event.correlation_id or correlation_id,
                    event.causation_id,
                    principal_id,
                    _attributes(event.attributes),
                    event.data_subject,
                    event.data,
                )
            )
        except ValidationError as error:
            raise ValidationError(f"events[{index}].{error.field}", error.reason) from error
    return made


def size_of(written: Iterable[Line]) -> int:
    """Bytes of payload, about: what bounds a commit."""
    return sum(len(line.data) for line in written)


def aggregate_id(source: str, key: str | None) -> str:
    """What orders events from outside: those of one source and key are delivered in order."""
    plain = f"ext:{source}#{key or ''}"
    if len(plain) <= MAX_AGGREGATE:
        return plain
    return f"ext:{hashlib.sha256(plain.encode()).hexdigest()}"


def check_data_subject(field: str, name: str) -> None:
    """Raises `ValidationError` unless a data subject may be called so.

    White space around a name is refused: who asks for an erasure would not see that it is meant.
    """
    if not name.strip():
        raise ValidationError(field, "is blank")
    if name != name.strip():
        raise ValidationError(field, "begins or ends with white space")
    _check_word(field, name, MAX_ID_BYTES)


def label(event_type: str) -> str:
    """The type as a metric's label: types of their own are one, or there would be no end."""
    return CustomEvent.type if event_type.startswith(CUSTOM_PREFIX) else event_type


def _checked(event: NewEvent, bounds: BusSettings) -> type[events.Payload]:
    _check_words(event)
    if event.occurred_at is not None and (
        event.occurred_at.tzinfo is None or not _DAWN <= event.occurred_at <= _DUSK
    ):
        raise ValidationError("time", "is not a moment with an offset")
    payload_type = _payload_type(event.type)
    _check_data(event, payload_type, bounds.max_event_bytes)
    return payload_type


def _payload_type(name: str) -> type[events.Payload]:
    if len(name) > MAX_TYPE:
        raise ValidationError("type", f"is longer than {MAX_TYPE} characters")
    if name.startswith(CUSTOM_PREFIX):
        if not _CUSTOM_TYPE.fullmatch(name):
            raise ValidationError("type", "holds a character that a type does not have")
        return CustomEvent
    found = _PUBLIC.get(name)
    if found is None:
        raise ValidationError("type", "may not be published; a type of your own begins custom.")
    return found


def _check_data(event: NewEvent, payload_type: type[events.Payload], most: int) -> None:
    data = event.data
    if len(data) > most or (not data.isascii() and len(data.encode(errors="replace")) > most):
        raise ValidationError("data", f"is longer than {most} bytes")
    if "\\u0000" in data and _ESCAPED_NUL.search(data):
        raise ValidationError("data", "holds a character that is none")
    try:
        orjson.loads(data)  # also refuses half characters and numbers that are none
        if payload_type is not CustomEvent:
            events.decode(event.type, data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(("data", *map(str, first["loc"])))
        raise ValidationError(where, first["msg"]) from error
    except ValueError as error:
        raise ValidationError("data", "is not JSON") from error


def _check_words(event: NewEvent) -> None:
    subject, key = event.subject or "", event.partition_key or ""
    correlation, causation = event.correlation_id or "", event.causation_id or ""
    whose = event.data_subject or ""
    joined = " ".join((event.source, event.source_id, subject, key, correlation, causation, whose))
    if not (joined.isascii() and joined.isprintable()) or len(joined) > MAX_WORD:
        _check_each_word(event)
    if not event.source:
        raise ValidationError("source", "is blank")
    if not event.source_id:
        raise ValidationError("id", "is blank")
    if event.data_subject is not None:
        check_data_subject("datasubject", event.data_subject)


def _check_each_word(event: NewEvent) -> None:
    words = {
        "source": (event.source, MAX_SOURCE_BYTES),
        "id": (event.source_id, MAX_ID_BYTES),
        "subject": (event.subject, MAX_SOURCE_BYTES),
        "partitionkey": (event.partition_key, MAX_SOURCE_BYTES),
        "correlationid": (event.correlation_id, MAX_WORD),
        "causationid": (event.causation_id, MAX_WORD),
        "datasubject": (event.data_subject, MAX_ID_BYTES),
    }
    for name, (word, most) in words.items():
        if word is not None:
            _check_word(name, word, most)


def _check_word(name: str, word: str, most: int) -> None:
    if _UNPRINTED.search(word):
        raise ValidationError(name, "holds a character that is none")
    if len(word.encode()) > most:
        raise ValidationError(name, f"is longer than {most} bytes")


def _attributes(given: Mapping[str, str | int | bool]) -> str | None:
    if not given:
        return None
    if len(given) > MAX_ATTRIBUTES:
        raise ValidationError("attributes", f"are more than {MAX_ATTRIBUTES}")
    for name, value in given.items():
        if not _ATTRIBUTE.fullmatch(name):
            raise ValidationError("attributes", "have a name that is not a-z, 0-9, 20 characters")
        if isinstance(value, str) and _UNPRINTED.search(value):
            raise ValidationError(name, "holds a character that is none")
    text = orjson.dumps(dict(given)).decode()
    if len(text) > MAX_ATTRIBUTES_BYTES:
        raise ValidationError("attributes", f"are longer than {MAX_ATTRIBUTES_BYTES} characters")
    return text


_PUBLIC = {payload.type: payload for payload in events.payload_types() if payload.public}
