"""Over 500 bodies that nobody means well with, the same on every run.

Whole bodies that are wrong as such, and values that are put in the place of each field of a body
that a route would take.
"""

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

MARK = "echo-me-if-you-dare"
_SEED = 5

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "\t\r\n",
    "\u2003\u00a0\u3000",
    "\u200b\u200d\ufeff",
    "a\x00b",
    "\x01\x02\x1b[31m",
    "\x7f\x80\x9f",
    "\u2028\u2029",
    "\u202edesrever\u202c",
    "\ufffe",
    "\uffff",
    "\ufdd0",
    "\U0010ffff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "Z" + "\u0301" * 5_000,
    "a" + "\u0301\u0316" * 2_000,
    "\u00e9",
    "e\u0301",
    "\ufb03\u2167",
    "\u0130\u0131\u00df",
    "\uac00\u1100\u1161",
    "x" * 10_000,
    "9" * 400,
    "1e999",
    "NaN",
    "-0",
    "0x1F",
    "null",
    "true",
    "' OR 1=1 --",
    "'; DROP TABLE events; --",
    "\\'; SELECT pg_sleep(5); --",
    "%00",
    "%s%s%n",
    "{0.__class__}",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "https://user:pass@127.0.0.1:22/",
    "\r\nSet-Cookie: a=b",
    "=cmd|' /C calc'!A0",
    "(a+)+$",
    "a" * 60 + "!",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30T12:00:00Z",
    "2026-03-01T24:00:60Z",
    "1970-01-01",
    "task_01k0000000000000000000000a",
    "guild_01k0000000000000000000000a",
    "9-1-1",
    "9" * 30 + "-1-1",
    "* * * * *",
    "0 0 31 2 *",
    "[1](javascript:alert(1))",
    MARK,
)
"""Texts that have broken something somewhere."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    2**64,
    0.5,
    -0.0,
    5e-324,
    1e308,
    1e39,
    [],
    [[]],
    [None],
    [[[[[[[[]]]]]]]],
    ["a"] * 300,
    [0.0] * 2_000,
    {},
    {"": ""},
    {"__proto__": {"admin": True}},
    {"$ref": "#/components/schemas/TaskIn"},
    {"a": {"b": {"c": {"d": {}}}}},
    {MARK: MARK},
    *TEXTS,
)
"""What is put where something else belongs."""

_NUMBERS = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"1E400",
    b"01",
    b"+1",
    b".5",
    b"1.",
    b"0x10",
    b"1_000",
    b"9" * 309,
    b"0." + b"3" * 400,
    b"1e-400",
    b"-" + b"9" * 25,
)
_STRINGS = (
    b"\\ud800",
    b"\\udfff",
    b"\\ude00\\ud83d",
    b"\\ud83d\\u0041",
    b"\\u0000",
    b"\\ufffe",
    b"\\ud83f\\udfff",
    b"\xed\xa0\x80",
    b"\xff\xfe",
    b"\xc0\xaf",
    b"\xf5\x80\x80\x80",
    b"\x00",
    b"\n",
    b"\\x41",
    b"\\u12",
    b"\xe2\x80",
)
_RAW = (
    b"",
    b" ",
    b"null",
    b"true",
    b"[]",
    b"[[]]",
    b"{}",
    b'"' + MARK.encode() + b'"',
    b"0",
    b"{",
    b"}",
    b'{"',
    b'{"a"',
    b'{"a":',
    b'{"a":1,}',
    b"{'a': 1}",
    b'{"a":1}{"b":2}',
    b'{"a":1}\x00',
    b"// no\n{}",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"{}" + b" " * 4_000,
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b"[" * 33 + b"]" * 33,
    b'{"a":1,"a":2}',
    b'{"a":1,"\\u0061":2}',
    b"<?xml version='1.0'?><a/>",
    b"a=b&c=d",
    b"--boundary\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--boundary--",
    b"PK\x03\x04" + bytes(60),
    b"%PDF-1.7",
    b"\x1f\x8b\x08" + bytes(60),
    b"\x80\x04\x95",
    b"!!python/object/apply:os.system ['true']",
)
_FORBIDDEN = (
    "id",
    "guild_id",
    "owner",
    "owner_id",
    "created_by",
    "created_at",
    "updated_at",
    "version",
    "role",
    "permissions",
    "is_admin",
    "deleted",
    "context",
    "command_id",
    "__class__",
    MARK,
)


def whole(name: str) -> Iterator[bytes]:
    """Bodies that are wrong as such; in some ``name`` is a field."""
    yield from _RAW
    field = json.dumps(name).encode()
    for number in _NUMBERS:
        yield b"{%s: %s}" % (field, number)
    for text in _STRINGS:
        yield b'{%s: "%s"}' % (field, text)
        yield b'{"%s": 1}' % text
    yield json.dumps({str(key): key for key in range(1_500)}).encode()
    for size in (16, 256, 2_048):
        yield random.Random(size).randbytes(size)  # noqa: S311  # noise, not a secret


def put_into(good: Mapping[str, Any]) -> Iterator[bytes]:
    """A good body with each value in the place of each field, and with fields of its own."""
    for name in good:
        for value in VALUES:
            yield _json({**good, name: value})
        yield _json({key: value for key, value in good.items() if key != name})
    for name in _FORBIDDEN:
        for value in (1, MARK, {"a": MARK}):
            yield _json({**good, name: value})


def corpus(good: Mapping[str, Any], most: int | None = None) -> list[bytes]:
    """All hostile bodies for a route that takes ``good``; of a longer list an even choice."""
    name = next(iter(good), "name")
    every = [*whole(name), *put_into(good or {"name": "a"}), *_mixed(good)]
    every = list(dict.fromkeys(every))
    if most is None or len(every) <= most:
        return every
    return random.Random(_SEED).sample(every, most)  # noqa: S311  # the same on every run


def _mixed(good: Mapping[str, Any]) -> Iterator[bytes]:
    """Several fields wrong at once."""
    chance = random.Random(_SEED)  # noqa: S311
    names = [*good, *_FORBIDDEN[:4]]
    for _ in range(300):
        chosen = chance.sample(names, min(len(names), 3))
        yield _json({**good, **{name: chance.choice(VALUES) for name in chosen}})


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
