"""The strict layer: what JSON, text and times may be."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from serve_app import strict
from serve_app.problems import Problem

LIMITS = strict.JsonLimits(max_depth=32, max_keys=100, max_items=200)
NO_CHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)] + [
    chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF)
]
UNFIT = ["\x00", *NO_CHARACTERS]
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters=UNFIT))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_every_proper_value_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()

    assert strict.parse_json(body, LIMITS) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_problem(body: bytes) -> None:
    try:
        strict.parse_json(body, LIMITS)
    except Problem as problem:
        assert problem.status in (400, 422)  # noqa: PT017  # either is right; nothing else may rise


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b"-1e999",
        b"1" * 400,
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'["a\x00b"]',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"{'a': 1}",
        b"[1,]",
        b"{} {}",
        b"0x10",
        b"+1",
        b".5",
    ],
)
def test_what_is_no_json_is_400(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        strict.parse_json(body, LIMITS)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'"\\u0000"',
        b'{"a": ["b\\u0000"]}',
        b'{"\\u0000": 1}',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "\\u0061": 2}}',
        b'{"a": "x", "a": "\\u003a"}',
        b'{"a": ":", "a": "\\u003A:"}',
        b'{"a": {"b": "c:d"}, "a": {"b": "c"}}',
        b"[" * 33 + b"]" * 33,
        json.dumps({str(number): 0 for number in range(101)}).encode(),
        json.dumps([{"a": 0}] * 101).encode(),
        json.dumps([0] * 201).encode(),
        json.dumps([[[], []]] * 67).encode(),
    ],
)
def test_json_that_is_more_than_we_take_is_422(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        strict.parse_json(body, LIMITS)

    assert refused.value.status == 422


def test_colons_and_quotes_inside_strings_are_no_keys() -> None:
    value = {'a":"b': 'c": {"d\\', "e:f": ["::", '"'], "\\u0000": "\\u0000"}

    assert strict.parse_json(json.dumps(value).encode(), LIMITS) == value


@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_is_no_character_is_refused_in_texts_and_keys(ascii_only: bool) -> None:
    for unfit in UNFIT:
        for value in ({"a": ["b" + unfit]}, {"a" + unfit: 1}, unfit):
            body = json.dumps(value, ensure_ascii=ascii_only or unfit == "\x00").encode()

            with pytest.raises(Problem) as refused:
                strict.parse_json(body, LIMITS)

            assert refused.value.status == 422


def test_neighbours_of_what_is_no_character_are_read() -> None:
    for fit in ("\ufdcf", "\ufdf0", "\ufffd", "\U0001fffd", "\U00020000", "\u4ffe", "\uabff"):
        assert strict.parse_json(json.dumps(fit, ensure_ascii=False).encode(), LIMITS) == fit
        assert strict.parse_json(json.dumps(fit).encode(), LIMITS) == fit


@pytest.mark.parametrize("before", [b"", b'"a", ', b"    1, " * 3])
@pytest.mark.parametrize(
    "number", [b"0." + b"1" * 309, b"1" + b"0" * 308 + b"e-300", b"1." + b"0" * 5_000]
)
def test_a_number_of_more_digits_than_a_double_can_have_is_refused(
    before: bytes, number: bytes
) -> None:
    with pytest.raises(Problem) as refused:
        strict.parse_json(b"[" + before + number + b"]", LIMITS)

    assert refused.value.status == 422


def test_digits_in_a_text_are_no_number_and_many_numbers_are_not_one() -> None:
    assert strict.parse_json(b'"' + b"7" * 400 + b'"', LIMITS) == "7" * 400
    assert strict.parse_json(b"[" + b"0." + b"1" * 308 + b"]", LIMITS) == [1 / 9]
    assert len(strict.parse_json(json.dumps([7] * 200).encode(), LIMITS)) == 200


def test_only_the_first_of_many_digits_begins_a_number() -> None:
    """Looked at from each of them, a megabyte of long numbers would hold everybody up."""
    fit = b"1." + b"1" * 307

    assert len(strict.parse_json(b"[" + b",".join([fit] * 20) + b"]", LIMITS)) == 20
    with pytest.raises(Problem, match="digits"):
        strict.parse_json(b"[" + b",".join([fit] * 20) + b",1." + b"1" * 309 + b"]", LIMITS)


class Pieces:
    """A body that arrives in pieces, and counts how many were taken."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.taken = 0

    async def __call__(self) -> Mapping[str, Any]:
        self.taken += 1
        body = self._pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._pieces)}


async def test_a_body_is_put_together_from_its_pieces() -> None:
    assert await strict.read_body(Pieces(b"ab", b"", b"c"), {}, 3, 5.0) == b"abc"


async def test_a_body_declared_too_large_is_refused_without_reading_any_of_it() -> None:
    pieces = Pieces(b"x" * 20)

    with pytest.raises(Problem) as refused:
        await strict.read_body(pieces, {"content-length": "20"}, 10, 5.0)

    assert refused.value.status == 413
    assert pieces.taken == 0


async def test_a_body_that_grows_too_large_is_refused_at_the_piece_that_does_it() -> None:
    pieces = Pieces(*[b"x" * 4] * 100)

    with pytest.raises(Problem) as refused:
        await strict.read_body(pieces, {}, 10, 5.0)

    assert refused.value.status == 413
    assert pieces.taken == 3


@pytest.mark.parametrize("length", ["-1", "1.0", "ten", "٣", "0x1", " 1"])
async def test_a_length_that_is_no_number_is_400(length: str) -> None:
    with pytest.raises(Problem) as refused:
        await strict.read_body(Pieces(b""), {"content-length": length}, 10, 5.0)

    assert refused.value.status == 400


async def test_a_body_that_does_not_arrive_in_time_is_408() -> None:
    async def slow() -> Mapping[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(Problem) as refused:
        await strict.read_body(slow, {}, 10, 0.01)

    assert refused.value.status == 408
    assert refused.value.headers == {"Connection": "close"}


async def test_a_client_that_goes_away_in_the_middle_is_400() -> None:
    async def gone() -> Mapping[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(Problem) as refused:
        await strict.read_body(gone, {}, 10, 5.0)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "target", [b"/%00", b"/a%0d%0ab", b"/%ff", b"/%ed%a0%80", b"/\xff", b"/%c0%af", b"/%7f"]
)
def test_an_address_that_is_no_text_is_400(target: bytes) -> None:
    for path, query in ((target, b""), (b"/", target)):
        with pytest.raises(Problem) as refused:
            strict.check_target(path, query, 8_192)

        assert refused.value.status == 400


def test_an_address_may_be_any_proper_text() -> None:
    strict.check_target("/weiß%20/%C3%A4".encode(), b"q=a+b%26", 8_192)


def test_a_line_is_stripped_and_neither_blank_nor_broken() -> None:
    line = TypeAdapter(strict.Line)

    assert line.validate_python("  a title ") == "a title"
    for bad in ("", "   ", "\u2003", "a\nb", "a\x1bb", 5, None, ["a"]):
        with pytest.raises(ValidationError):
            line.validate_python(bad)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T13:00:00.123456+01:00", datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc_to_the_millisecond(text: str, moment: datetime) -> None:
    assert TypeAdapter(strict.Moment).validate_python(text) == moment


@pytest.mark.parametrize(
    "value",
    [
        0,
        1e12,
        "1700000000",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "10000-01-01T00:00:00Z",
        "soon",
        "",
        None,
        True,
    ],
)
def test_what_is_no_time_is_refused_and_never_fails(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(strict.Moment).validate_python(value)


def test_a_time_is_shown_with_milliseconds_and_z() -> None:
    assert strict.render_moment(datetime(2026, 3, 1, 12, tzinfo=UTC)) == "2026-03-01T12:00:00.000Z"


class Example(strict.Strict):
    name: strict.Line = Field(max_length=5)
    share: strict.Fraction = 0.5
    count: strict.Integer = 0


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a", "other": 1},
        {"name": "abcdef"},
        {"name": "a", "share": True},
        {"name": "a", "share": "0.5"},
        {"name": "a", "share": 1.01},
        {"name": "a", "count": True},
        {"name": "a", "count": 1.0},
        {"name": "a", "count": "1"},
        {"name": "a", "count": 2**31},
        {"name": "a", "count": -1},
    ],
)
def test_numbers_are_numbers_and_unknown_fields_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate(value)
