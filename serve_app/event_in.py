"""CloudEvents 1.0 as they arrive over HTTP: in binary, structured and batch mode. Pure.

What is wrong with an event is said as ``events[3].time``, whatever the mode. Type, payload and the
sizes of single fields are the bus's to check; here is what the specification asks of any event.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import orjson
from starlette.datastructures import Headers

from actors.bus.messages import NewEvent
from actors.cloudevents import BATCH, SPEC_VERSION, STRUCTURED, Attribute, priority_of
from actors.errors import ValidationError
from actors.events import Priority
from serve_app.problems import Problem
from serve_app.strict import JsonLimits, parse_json

ADVICE = (
    f"send one event as {STRUCTURED}, several as {BATCH}, or JSON data under application/json"
    " with the attributes in ce- headers; all in UTF-8"
)

_PREFIX = b"ce-"
_NAME = re.compile(r"[a-z0-9]+")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_SEVERITY = re.compile(r"[0-9]{1,2}")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+)")
_CHARSET = re.compile(r'charset *= *"?([^;"]*)')
# Control characters and what Unicode says is no character: a text of CloudEvents has none.
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
_MOST_INTEGER = 2**31


class Arrived(NamedTuple):
    """The events of one request; ``batch``: the answer is a list too."""

    events: tuple[NewEvent, ...]
    batch: bool


def check_media_type(content_type: str) -> None:
    """Raises `Problem` 415 for a body that cannot hold events, before it is read."""
    if content_type and not _is_taken(_media_type(content_type)):
        raise Problem(415, f"data that is not JSON is not taken; {ADVICE}")


def parse(headers: Headers, body: bytes, limits: JsonLimits, most: int) -> Arrived:
    """The events of one request.

    Args:
        headers: of the request; its media type was checked.
        body: as it arrived.
        limits: of the JSON in it.
        most: events of one batch.

    Raises:
        Problem: the body is no JSON, or of no media type.
        ValidationError: an event, named by its index, is no CloudEvent that we take.
    """
    match _media_type(headers.get("content-type", "")):
        case "application/cloudevents-batch+json":
            return Arrived(_batch(parse_json(body, limits), most), batch=True)
        case "application/cloudevents+json":
            return Arrived(_structured((parse_json(body, limits),)), batch=False)
        case _:
            data = _data(body, limits)
            try:
                return Arrived((_new_event(_from_headers(headers), data),), batch=False)
            except ValidationError as error:
                raise _at(0, error) from error


def _media_type(content_type: str) -> str:
    if content_type in (STRUCTURED, BATCH, "application/json"):
        return content_type
    media_type, _, parameters = content_type.lower().partition(";")
    charset = _CHARSET.search(parameters)
    if charset is not None and charset[1].strip() not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, f"another encoding than UTF-8 is not taken; {ADVICE}")
    return media_type.strip()


def _is_taken(media_type: str) -> bool:
    if media_type in (STRUCTURED, BATCH):
        return True
    return is_json(media_type) and not media_type.startswith("application/cloudevents")


def is_json(media_type: str) -> bool:
    """Whether a media type, without parameters, says that something is JSON."""
    match = _MEDIA_TYPE.fullmatch(media_type)
    return match is not None and (match[1] == "json" or match[1].endswith("+json"))


def _batch(value: Any, most: int) -> tuple[NewEvent, ...]:
    if type(value) is not list or not 1 <= len(value) <= most:
        raise ValidationError("events", f"are no list of 1 to {most}")
    return _structured(value)


def _structured(values: Sequence[Any]) -> tuple[NewEvent, ...]:
    made = []
    for index, given in enumerate(values):
        try:
            if type(given) is not dict:
                raise ValidationError("", "is no object")
            if "data_base64" in given:
                reason = "is binary data, which is not taken: send JSON in data"
                raise ValidationError("data_base64", reason)
            data = orjson.dumps(given.pop("data", None)).decode()
            made.append(_new_event(given, data))
        except ValidationError as error:
            raise _at(index, error) from error
    return tuple(made)


def _data(body: bytes, limits: JsonLimits) -> str:
    """The body of binary mode: JSON, also where no Content-Type says so; empty without data."""
    if not body:
        return "null"
    parse_json(body, limits)
    return body.decode()


def _from_headers(headers: Headers) -> dict[str, Any]:
    """Attributes of binary mode."""
    given: dict[str, Any] = {}
    for header, value in headers.raw:
        if not header.startswith(_PREFIX):
            continue
        name = header[len(_PREFIX) :].decode("latin-1")
        if name in given:
            raise ValidationError("attributes", "are given twice")
        if name in ("data", "data_base64", "datacontenttype"):
            raise ValidationError("attributes", "hold what the body and its Content-Type say")
        given[name] = _from_header(value)
    if not given:
        raise ValidationError("specversion", f"is missing, as all ce- headers are; {ADVICE}")
    return given


def _from_header(value: bytes) -> str:
    """A header's text: quotes are taken off, then percent-encoding, once."""
    if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
        value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
    try:
        return (unquote_to_bytes(value) if b"%" in value else value).decode()
    except UnicodeDecodeError:
        raise ValidationError("attributes", "hold a text that is not UTF-8") from None


def _new_event(given: dict[str, Any], data: str) -> NewEvent:
    """The event of these attributes, which are used up."""
    if given.pop("specversion", None) != SPEC_VERSION:
        raise ValidationError("specversion", f'is not "{SPEC_VERSION}"')
    _check_content_type(_word(given, "datacontenttype"))
    return NewEvent(
        source=_needed(given, "source"),
        source_id=_needed(given, "id"),
        type=_needed(given, "type"),
        data=data,
        subject=_word(given, "subject"),
        occurred_at=_time(_word(given, "time")),
        priority=_priority(given.pop("severitynumber", None), _word(given, "severitytext")),
        correlation_id=_word(given, "correlationid"),
        causation_id=_word(given, "causationid"),
        partition_key=_word(given, "partitionkey"),
        data_subject=_word(given, "datasubject"),
        attributes=_extensions(given) if given else {},
    )


def _needed(given: dict[str, Any], name: str) -> str:
    value = _word(given, name)
    if value is None:
        raise ValidationError(name, "is missing")
    return value


def _word(given: dict[str, Any], name: str) -> str | None:
    """A text attribute, taken out; None where it is absent, as ``null`` also says."""
    value = given.pop(name, None)
    if value is None:
        return None
    if type(value) is not str or not value:
        raise ValidationError(name, "is no text, or an empty one")
    if not value.isascii() and _UNFIT.search(value):
        raise ValidationError(name, "holds a character that is none")
    return value


def _check_content_type(content_type: str | None) -> None:
    if content_type is None or content_type == "application/json":
        return
    if not is_json(content_type.partition(";")[0].strip().lower()):
        reason = "is not JSON: data of another kind is not taken"
        raise ValidationError("datacontenttype", reason)


def _time(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        if _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass
    raise ValidationError("time", "is no time in the form of RFC 3339")


def _priority(number: Any, text: str | None) -> Priority:
    """By OpenTelemetry's number; by one of our own words where there is none."""
    if type(number) is str and _SEVERITY.fullmatch(number):
        number = int(number)
    if number is not None:
        if type(number) is not int or not 1 <= number <= 24:
            raise ValidationError("severitynumber", "is no number from 1 to 24")
        return priority_of(number)
    if text is None:
        return Priority.NORMAL
    try:
        return Priority(text.lower())
    except ValueError:
        known = ", ".join(Priority)
        reason = f"is none of {known}, and there is no severitynumber"
        raise ValidationError("severitytext", reason) from None


def _extensions(given: dict[str, Any]) -> dict[str, Attribute]:
    """What means nothing to us and is kept. Names are the client's, so they are not repeated."""
    kept: dict[str, Attribute] = {}
    for name, value in given.items():
        if value is None:
            continue
        if not _NAME.fullmatch(name):
            raise ValidationError("attributes", "have a name that is not of a-z and 0-9")
        match value:
            case bool():
                pass
            case str() if (value.isascii() and value.isprintable()) or not _UNFIT.search(value):
                pass
            case int() if -_MOST_INTEGER <= value < _MOST_INTEGER:
                pass
            case _:
                reason = "hold a value that is no text, no truth value and no 32-bit integer"
                raise ValidationError("attributes", reason)
        kept[name] = value
    return kept


def _at(index: int, error: ValidationError) -> ValidationError:
    field = f"events[{index}].{error.field}" if error.field else f"events[{index}]"
    return ValidationError(field, error.reason)
