"""The one layer through which all text and numbers of a request go.

What PostgreSQL, JSON or a log line could not hold never gets past here: NUL, lone surrogates, what
is no character, NaN, infinities, numbers beyond a double, duplicate keys, bottomless nesting.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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
    max_digits: int = 308


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
    if _may_hold_unfit(body) and _holds_unfit(value):
        raise Problem(422, "the body has a text with U+0000 or a code point that is no character")
    if _has_digits(body, limits.max_digits):
        raise Problem(422, f"the body has a number of more than {limits.max_digits} digits")
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


# NUL, which PostgreSQL cannot store, and what Unicode says is no character.
_UNFIT = re.compile(
    "[\x00\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
_UNFIT_ESCAPED = re.compile(
    rb"\\u(?:0000|[fF][dD][dDeE]|[fF]{3}[eEfF]|[dD][89abAB]..\\u[dD][fF][fF][eEfF])"
)
_UNFIT_BYTES = (b"\xbf\xbe", b"\xbf\xbf", b"\xef\xb7")


def _may_hold_unfit(body: bytes) -> bool:
    """Whether it is worth looking; a bare NUL is no JSON, so that one can only be escaped."""
    if not body.isascii() and any(one in body for one in _UNFIT_BYTES):
        return True
    return b"\\u" in body and _UNFIT_ESCAPED.search(body) is not None


def _holds_unfit(value: Any) -> bool:
    """Whether a text or a key in it has such a character."""
    pending = [value]
    while pending:
        node = pending.pop()
        match node:
            case str():
                if _UNFIT.search(node):
                    return True
            case dict():
                pending += [*node, *node.values()]
            case list():
                pending += node
            case _:
                pass
    return False


_EVERY = 10


def _has_digits(body: bytes, most: int) -> bool:
    """Whether a number is longer. Every tenth byte tells whether it is worth looking.

    A run of digits is looked at from its first one only: from each of them it would be read again.
    """
    sampled = rb"[0-9]{%d}" % (most // _EVERY)
    if len(body) <= most or re.search(sampled, body[::_EVERY]) is None:
        return False
    return re.search(rb"(?<![0-9])[0-9]{%d}" % (most + 1), _STRING.sub(b"", body)) is not None


def _plainly_unique(body: bytes, value: Any) -> bool:
    """Whether no key can be there twice, since the value, written again, has as many colons.

    Colons stand behind keys and in strings. The parser has kept one value for each different key,
    and unless a colon was escaped nothing makes up for those of the others.
    """
    return b"\\u003" not in body and body.count(b":") == orjson.dumps(value).count(b":")


def _colons_outside_strings(body: bytes) -> int:
    """Every key is followed by one, and there are no others."""
    return _STRING.sub(b"", body).count(b":")


async def read_body(
    receive: Receive, headers: Mapping[str, str], limit: int, timeout_s: float
) -> bytes:
    """The body, counted while it arrives; what is too large is refused without being read.

    Raises:
        Problem: 413, 408 where it does not arrive in time, or 400 where the client went away or
            lies about the length.
    """
    declared = headers.get("content-length", "")
    if declared:
        if not declared.isascii() or not declared.isdecimal():
            raise Problem(400, "Content-Length is not a number")
        if len(declared) > 18 or int(declared) > limit:
            raise too_large(limit)
    try:
        async with asyncio.timeout(timeout_s):
            return await _all_of(receive, limit)
    except TimeoutError:
        detail = f"the body did not arrive within {timeout_s:g} s"
        raise Problem(408, detail, headers=CLOSES) from None


async def _all_of(receive: Receive, limit: int) -> bytes:
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
_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = (b"content-length", b"transfer-encoding")


def check_target(raw_path: bytes, query: bytes, most: int) -> None:
    """Refuses a request target that does not decode to proper text without control characters.

    Nor may a slash of the path be encoded: a proxy in front would see another path than we do.

    Raises:
        Problem: 400, or 414 where it is longer than ``most`` bytes.
    """
    if len(raw_path) + len(query) > most:
        raise Problem(414, f"the address is longer than {most} bytes")
    if b"%2f" in raw_path or b"%2F" in raw_path:
        raise Problem(400, "the address has an encoded slash")
    for part in (raw_path, query):
        if b"%" not in part and part.isascii():
            continue  # nothing to decode; the server has refused bare control characters
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise Problem(400, "the address is not UTF-8") from None
        if _CONTROL.search(text) or _UNFIT.search(text):
            raise Problem(400, "the address has control characters or what is no character")


def check_headers(headers: Sequence[tuple[bytes, bytes]], most: int, most_bytes: int) -> None:
    """Refuses headers that are too many, too long, or could be read in two ways.

    A proxy in front that believes another of two lengths sees another request than we do.

    Raises:
        Problem: 400 or 431.
    """
    values = b"".join([value for _, value in headers])
    names_bytes = sum(len(name) for name, _ in headers)
    if len(headers) > most or names_bytes + len(values) > most_bytes:
        raise Problem(431, f"there are more than {most} headers, or {most_bytes} bytes of them")
    if _CONTROL_BYTES.search(values):
        raise Problem(400, "a header has control characters")
    framing = [name for name, _ in headers if name in _FRAMING]
    if len(framing) > 1:
        raise Problem(400, "the length of the body is said twice", headers={"Connection": "close"})


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
