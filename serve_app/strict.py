"""The one layer through which all text and numbers of a request go.

What PostgreSQL, JSON or a log line could not hold never gets past here: NUL, lone surrogates, NaN,
infinities, numbers beyond a double, duplicate keys, bottomless nesting.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

from serve_app.problems import Problem

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLimits:
    """What a JSON body may be at most."""

    max_depth: int
    max_keys: int
    max_items: int


CLOSES: Mapping[str, str] = MappingProxyType({"Connection": "close"})
"""Headers of an answer that comes before the whole body has."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def parse_json(body: bytes, limits: JsonLimits) -> Any:
    """The value of a JSON text.

    The parser refuses what RFC 8259 does, and lone surrogates, NaN, infinities and numbers that
    are none as a double. The rest is checked here.

    Raises:
        Problem: 400 where it is no JSON, 422 where it is more than we take.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Problem(400, "the body is not well-formed JSON") from None
    keys = _measure(value, limits)
    if b"\\u0000" in body and _holds_nul(value):
        raise Problem(422, "the body has a text with the character U+0000")
    if (
        body.count(b":") != keys  # as many as there can be at least: none is in a string
        and not _plainly_unique(body, value)
        and _colons_outside_strings(body) != keys
    ):
        raise Problem(422, "the body has an object with the same key twice")
    return value


def _measure(value: Any, limits: JsonLimits) -> int:
    """Counts the keys, level by level; raises `Problem` beyond the limits."""
    keys = items = depth = 0
    level = [value] if type(value) in _CONTAINERS else []
    while level:
        depth += 1
        deeper: list[Any] = []
        for node in level:
            if type(node) is dict:
                keys += len(node)
                children: Iterable[Any] = node.values()
            else:
                items += len(node)
                children = node
            if depth > limits.max_depth or keys > limits.max_keys or items > limits.max_items:
                raise Problem(422, "the body is nested too deeply or has too many keys or items")
            if not _CONTAINERS.isdisjoint(map(type, children)):  # a vector is a list of numbers
                deeper.extend(child for child in children if type(child) in _CONTAINERS)
        level = deeper
    return keys


_CONTAINERS = frozenset((dict, list))


def _holds_nul(value: Any) -> bool:
    """Whether a text in it has the one character that PostgreSQL cannot store."""
    pending = [value]
    while pending:
        node = pending.pop()
        match node:
            case str():
                if "\x00" in node:
                    return True
            case dict():
                pending += [*node, *node.values()]
            case list():
                pending += node
            case _:
                pass
    return False


def _plainly_unique(body: bytes, value: Any) -> bool:
    """Whether no key can be there twice, since the value, written again, has as many colons.

    Colons stand behind keys and in strings. The parser has kept one value for each different key,
    and unless a colon was escaped nothing makes up for those of the others.
    """
    return b"\\u003" not in body and body.count(b":") == orjson.dumps(value).count(b":")


def _colons_outside_strings(body: bytes) -> int:
    """Every key is followed by one, and there are no others."""
    return _STRING.sub(b"", body).count(b":")


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """The body, counted while it arrives; what is too large is refused without being read.

    Raises:
        Problem: 413, or 400 where the client went away or lies about the length.
    """
    declared = headers.get("content-length", "")
    if declared:
        if not declared.isascii() or not declared.isdecimal():
            raise Problem(400, "Content-Length is not a number")
        if len(declared) > 18 or int(declared) > limit:
            raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the client went away before the body was complete")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def too_large(limit: int) -> Problem:
    """413. The connection is closed: the rest of the body is not worth reading."""
    return Problem(413, f"the body is larger than {limit} bytes", headers=CLOSES)


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_target(raw_path: bytes, query: bytes) -> None:
    """Refuses a request target that does not decode to proper text without control characters.

    Nor may a slash of the path be encoded: a proxy in front would see another path than we do.

    Raises:
        Problem: 400.
    """
    if b"%2f" in raw_path or b"%2F" in raw_path:
        raise Problem(400, "the address has an encoded slash")
    for part in (raw_path, query):
        if b"%" not in part and part.isascii():
            continue  # nothing to decode; the server has refused bare control characters
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise Problem(400, "the address is not UTF-8") from None
        if _CONTROL.search(text):
            raise Problem(400, "the address has control characters")


class Strict(BaseModel):
    """Base of everything that is read from a request: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class View(BaseModel):
    """Base of everything that is answered: it lists its fields, so nothing else gets out."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def _no_control(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("has control characters")
    return text


Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_no_control)
]
"""One line of text: stripped, not blank, no control characters. Give it a ``max_length``."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text of several lines: stripped, not blank. Give it a ``max_length``."""

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
"""Text of several lines that may be empty. Give it a ``max_length``."""


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _is_text(value: object) -> object:
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("must be a time in the form of RFC 3339")  # not a number of seconds
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the first or after the last year") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def render_moment(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and ``Z``."""
    shown = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return f"{shown}Z"


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_is_text),
    AfterValidator(_in_utc),
]
"""A time in a request."""

Shown = Annotated[datetime, PlainSerializer(render_moment, return_type=str, when_used="json")]
"""A time in an answer."""

Fraction = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Integer = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Tags = Annotated[tuple[Annotated[Line, Field(max_length=64)], ...], Field(max_length=10)]
Reference = Annotated[Line, Field(max_length=256)]
References = Annotated[tuple[Reference, ...], Field(max_length=50)]
Labels = Annotated[
    dict[Annotated[Line, Field(max_length=128)], Annotated[Text, Field(max_length=4096)]],
    Field(max_length=64),
]
