"""Hostile CloudEvents: each is a problem in the 4xx that tells nothing, and none is published."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from actors import clock
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId
from tests.fixtures.bus_in_process import MemoryLog
from tests.fixtures.gateway import app_over, client_of, settings

EVENTS = "/api/v1/events"
MARK = "echo-me-if-you-dare"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"

_log = MemoryLog()


@pytest.fixture(scope="module")
def app() -> FastAPI:
    config = settings()
    return app_over({"bus": LocalPool(_log.handlers(config.bus))}, config)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    _log.events.clear()
    async with client_of(app, guild=GuildId(clock.new_id("guild"))) as client:
        yield client


def event(**changed: Any) -> dict[str, Any]:
    good = {"specversion": "1.0", "id": "1", "source": "/s", "type": "custom.a", "data": 1}
    return good | changed


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in event().items() if key != name}


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def holding(data: str) -> bytes:
    return text(event(data="@")).replace(b'"@"', data.encode(errors="surrogatepass"))


ONE: dict[str, bytes] = {
    "nothing": b"",
    "half an event": b'{"specversion": "1.0", ',
    "a word": MARK.encode(),
    "null": b"null",
    "a text": text(MARK),
    "a number": b"1",
    "a list": text([event()]),
    "an empty object": b"{}",
    "no specversion": text(without("specversion")),
    "no id": text(without("id")),
    "no source": text(without("source")),
    "no type": text(without("type")),
    "specversion 0.3": text(event(specversion="0.3")),
    "specversion 1": text(event(specversion=1.0)),
    "specversion with a space": text(event(specversion="1.0 ")),
    "an empty id": text(event(id="")),
    "an id that is null": text(event(id=None)),
    "an id that is a number": text(event(id=7)),
    "an id that is an object": text(event(id={MARK: MARK})),
    "an id of a megabyte": text(event(id="x" * 1_000_000)),
    "an id of 501 bytes": text(event(id="x" * 501)),
    "NUL in the id": text(event(id="a\x00b")),
    "a line break in the id": text(event(id="a\nb")),
    "a control character of C1 in the id": text(event(id="a\x85b")),
    "a character that is none in the id": text(event(id="a\ufffeb")),
    "a character that is none of a higher plane": text(event(source="/\U0001ffff")),
    "a lone surrogate in the id": b'{"specversion":"1.0","id":"\\ud83d","source":"/s","type":"custom.a"}',  # noqa: E501  # one line is clearer
    "an empty source": text(event(source="")),
    "a source of 2,000 bytes": text(event(source="/" * 2_000)),
    "a type of a sage": text(event(type="sage.incident.created", data={})),
    "a type of the system": text(event(type="system.timer.fired", data={})),
    "a type of users": text(event(type="user.created", data={"principal_id": "user_1"})),
    "a type of nobody": text(event(type=MARK)),
    "a type that is only a prefix": text(event(type="custom.")),
    "a type with a space": text(event(type="custom.a b")),
    "a type with a line break": text(event(type="custom.a\nevent: forged")),
    "a type of 200 characters": text(event(type="custom." + "a" * 200)),
    "a wildcard as a type": text(event(type="custom.*")),
    "an empty subject": text(event(subject="")),
    "a subject that is a list": text(event(subject=[MARK])),
    "a time as a number": text(event(time=1_700_000_000)),
    "a time without a zone": text(event(time="2026-03-01T12:00:00")),
    "a date": text(event(time="2026-03-01")),
    "a time of ISO 8601 that is not of RFC 3339": text(event(time="20260301T120000Z")),
    "the 30th of February": text(event(time="2026-02-30T12:00:00Z")),
    "a time before all times": text(event(time="0001-01-01T00:00:00+14:00")),
    "a time after all times": text(event(time="9999-12-31T23:59:59-14:00")),
    "a time with a hundred digits": text(event(time="2026-03-01T12:00:00." + "1" * 100 + "Z")),
    "binary data": text({**without("data"), "data_base64": "AAEC"}),
    "data twice over": text(event(data_base64="AAEC")),
    "binary data that is none": text({**without("data"), "data_base64": {MARK: 1}}),
    "data of another kind": text(event(datacontenttype="text/plain", data=MARK)),
    "a content type that is none": text(event(datacontenttype=MARK)),
    "a severity of 0": text(event(severitynumber=0)),
    "a severity of 25": text(event(severitynumber=25)),
    "a severity of 1.5": text(event(severitynumber=1.5)),
    "a severity that is true": text(event(severitynumber=True)),
    "a severity in words": text(event(severitynumber=MARK)),
    "an unknown severity": text(event(severitytext=MARK)),
    "a name in capitals": text(event(Region="eu")),
    "a name with a hyphen": text(event(**{"x-region": "eu"})),
    "a name that is empty": text(event(**{"": "eu"})),
    "a name in another script": text(event(région="eu")),
    "a name of 21 characters": text(event(**{"a" * 21: "eu"})),
    "an extension that is a list": text(event(region=[MARK])),
    "an extension that is an object": text(event(region={MARK: MARK})),
    "an extension that is a fraction": text(event(region=0.5)),
    "an extension that is too large": text(event(region=2**31)),
    "an extension with a line break": text(event(region=f"{MARK}\r\nX-Injected: 1")),
    "33 extensions": text(event(**{f"a{number}": "b" for number in range(33)})),
    "5,000 bytes of extensions": text(event(region="x" * 5_000)),
    "a guild of its own": text(event(guild_id="guild_1")),
    "a prototype": text(event(__proto__={"admin": True})),
    "NaN": holding("NaN"),
    "Infinity": holding("-Infinity"),
    "1e999": holding("1e999"),
    "a number of 400 digits": holding("9" * 400),
    "NUL in the data": holding('{"a": "\\u0000"}'),
    "NUL in a key of the data": holding('{"\\u0000": 1}'),
    "a lone surrogate in the data": holding('"\\udc00"'),
    "a surrogate in UTF-8": holding('"\ud83d"'),
    "100,000 deep": holding("[" * 100_000 + "]" * 100_000),
    "100,000 objects deep": holding('{"a":' * 100_000 + "1" + "}" * 100_000),
    "33 deep": holding("[" * 33 + "]" * 33),
    "a key twice": b'{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"custom.a"}',
    "a key of the data twice": holding('{"a": 1, "a": 2}'),
    "a key twice, once escaped": holding('{"a": 1, "\\u0061": 2}'),
    "not UTF-8": text(event(data="@")).replace(b"@", b"\xff\xfe"),
    "UTF-16": json.dumps(event()).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + text(event()),
    "300 KiB of data": text(event(data="x" * (300 << 10))),
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
}
MANY: dict[str, bytes] = {
    "an empty batch": b"[]",
    "an object": text(event()),
    "null": b"null",
    "events that are none": text([1, MARK, None]),
    "a batch in a batch": text([[event()]]),
    "1,001 events": text([event(id=str(number)) for number in range(1_001)]),
    "100,000 empty objects": b"[" + b"{}," * 100_000 + b"{}]",
    "2,000,000 empty lists": b"[" + b"[]," * 2_000_000 + b"[]]",
    "one bad event among good ones": text([event(id="1"), event(id="2", type=MARK)]),
    "one binary event among good ones": text([event(id="1"), event(id="2", data_base64="AA==")]),
}
HEADERS: dict[str, dict[bytes, bytes]] = {
    "no ce- header": {b"ce-specversion": b"", b"ce-id": b"", b"ce-source": b"", b"ce-type": b""},
    "no specversion": {b"ce-specversion": b""},
    "specversion 0.3": {b"ce-specversion": b"0.3"},
    "no id": {b"ce-id": b""},
    "an id that is quoted and empty": {b"ce-id": b'""'},
    "an id of a megabyte": {b"ce-id": b"x" * 1_000_000},
    "a line break, encoded": {b"ce-id": b"a%0d%0aSet-Cookie:%20a=b"},
    "a line break, bare": {b"ce-id": b"a\r\nSet-Cookie: a=b"},
    "NUL, encoded": {b"ce-id": b"a%00b"},
    "not UTF-8": {b"ce-subject": b"\xff\xfe"},
    "not UTF-8, encoded": {b"ce-subject": b"%ff%fe"},
    "a surrogate, encoded": {b"ce-subject": b"%ed%a0%80"},
    "overlong UTF-8, encoded": {b"ce-subject": b"%c0%af"},
    "a name that is none": {b"ce-x-region": b"eu"},
    "a name that is empty": {b"ce-": b"eu"},
    "the content type beside itself": {b"ce-datacontenttype": b"application/json"},
    "data in a header": {b"ce-data": b"{}"},
    "binary data in a header": {b"ce-data_base64": b"AAEC"},
    "a severity that is none": {b"ce-severitynumber": b"0x11"},
    "a severity of digits of another script": {b"ce-severitynumber": b"\xd9\xa1\xd9\xa7"},
    "an extension with a line break": {b"ce-region": b"eu%0ax"},
    "a type of a sage": {b"ce-type": b"sage.task.created"},
}


def check_problem(answer: httpx.Response) -> dict[str, Any]:
    """The form of every refusal; and the log is as it was."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    assert MARK not in answer.text
    assert "set-cookie" not in answer.headers
    assert _log.events == []
    return problem


@pytest.mark.parametrize("name", ONE)
async def test_a_hostile_event_is_refused(client: httpx.AsyncClient, name: str) -> None:
    headers = {"Content-Type": STRUCTURED}

    check_problem(await client.post(EVENTS, content=ONE[name], headers=headers))


@pytest.mark.parametrize("name", MANY)
async def test_a_hostile_batch_is_refused_whole(client: httpx.AsyncClient, name: str) -> None:
    check_problem(await client.post(EVENTS, content=MANY[name], headers={"Content-Type": BATCH}))


@pytest.mark.parametrize("name", HEADERS)
async def test_a_hostile_header_is_refused(client: httpx.AsyncClient, name: str) -> None:
    good = {
        b"content-type": JSON.encode(),
        b"ce-specversion": b"1.0",
        b"ce-id": b"1",
        b"ce-source": b"/s",
        b"ce-type": b"custom.a",
    }
    headers = {key: value for key, value in (good | HEADERS[name]).items() if value}

    check_problem(await client.post(EVENTS, content=b"{}", headers=headers))


async def test_an_attribute_in_two_headers_is_refused(client: httpx.AsyncClient) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"ce-specversion", b"1.0"),
        (b"ce-id", b"1"),
        (b"CE-Id", b"2"),
        (b"ce-source", b"/s"),
        (b"ce-type", b"custom.a"),
    ]

    check_problem(await client.post(EVENTS, content=b"{}", headers=headers))


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/octet-stream",
        "application/xml",
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/cloudevents+xml",
        "application/cloudevents-batch+avro",
        "application/cloudevents-batch",
        "application/json; charset=utf-16",
        f"{STRUCTURED}; charset=latin-1",
        f"{JSON}, {STRUCTURED}",
        "multipart/form-data; boundary=a",
        "json",
        "/json",
        "application/",
        "\xff\xfe",
    ],
)
async def test_another_media_type_is_415_and_says_which_are_taken(
    client: httpx.AsyncClient, media_type: str
) -> None:
    headers = {
        b"content-type": media_type.encode("latin-1"),
        b"ce-specversion": b"1.0",
        b"ce-id": b"1",
        b"ce-source": b"/s",
        b"ce-type": b"custom.a",
    }

    answer = await client.post(EVENTS, content=b"{}", headers=headers)

    assert answer.status_code == 415
    assert STRUCTURED in check_problem(answer)["detail"]


@pytest.mark.parametrize("body", [MARK.encode(), b"\xff\xfe", b"a=b", b"{} {}", b"<a/>"])
async def test_data_of_no_media_type_is_json_or_nothing(
    client: httpx.AsyncClient, body: bytes
) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "custom.a"}

    answer = await client.post(EVENTS, content=body, headers=headers)

    assert answer.status_code == 400
    check_problem(answer)


async def test_a_body_of_20_mb_is_refused_at_once(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": BATCH}

    answer = await client.post(EVENTS, content=b"x" * 20_000_000, headers=headers)

    assert answer.status_code == 413
    check_problem(answer)


async def test_what_is_wrong_is_named_by_our_own_names_only(client: httpx.AsyncClient) -> None:
    ours = re.compile(
        r"events(\[\d+\](\.(specversion|id|source|type|time|subject|data|data_base64|attributes|"
        r"datacontenttype|severitynumber|severitytext))?)?"
    )
    cases = [(STRUCTURED, body) for body in ONE.values()]
    cases += [(BATCH, body) for body in MANY.values()]
    for media_type, body in cases:
        answer = await client.post(EVENTS, content=body, headers={"Content-Type": media_type})

        for error in check_problem(answer)["errors"]:
            assert ours.fullmatch(error["pointer"]), error


@limits(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["specversion", "id", "source", "type", "time", "data", "severitynumber"]
                )
                | st.text(),
                inner,
                max_size=6,
            )
        ),
        max_leaves=8,
    ),
    media_type=st.sampled_from([STRUCTURED, BATCH, JSON]),
)
async def test_no_value_at_all_makes_us_fail(app: FastAPI, value: object, media_type: str) -> None:
    attributes = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "custom.a"}
    async with client_of(app) as client:
        answer = await client.post(
            EVENTS, content=text(value), headers={"Content-Type": media_type} | attributes
        )

    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1e1",
        "cursor=" + MARK + "!",
        "cursor=AAAA",
        "cursor=" + "A" * 600,
        "types=" + MARK + "%20",
        "types=%00",
        "types=" + "a" * 121,
        "&".join(["types=a"] * 51),
        "subject=%ff",
        "subject=%20",
        "correlation_id=" + "a" * 257,
        "since=0001-01-01T00:00:00%2B14:00",
        "until=tomorrow",
        "order=" + MARK,
        MARK + "=1",
    ],
)
async def test_a_hostile_question_is_refused(client: httpx.AsyncClient, query: str) -> None:
    check_problem(await client.get(f"{EVENTS}?{query}"))


@pytest.mark.parametrize(
    "query",
    [
        "last_event_id=" + MARK,
        "last_event_id=1-" + "9" * 30 + "-1",
        "last_event_id=-1-1-1",
        "subscription=" + MARK + "%2b",
        "subscription=../x",
        "subscription=" + MARK,
        "types=%2e%2e%2f",
        "expression=",
        "expression=" + "a" * 4_001,
        "expression=%00",
        "expression=" + MARK,
        MARK + "=1",
    ],
)
async def test_a_hostile_stream_is_refused(client: httpx.AsyncClient, query: str) -> None:
    check_problem(await client.get(f"{EVENTS}/stream?{query}"))


@pytest.mark.parametrize("value", [MARK, "1-1", "1-1-1,1-1-2", "9" * 65, "null"])
async def test_a_hostile_last_event_id_is_refused(client: httpx.AsyncClient, value: str) -> None:
    headers = {"Last-Event-ID": value}

    check_problem(await client.get(f"{EVENTS}/stream", headers=headers))


@pytest.mark.parametrize("name", [MARK, "custom", "%2e%2e", "x" * 5_000, "sage.%0a"])
async def test_a_schema_of_nothing_is_refused(client: httpx.AsyncClient, name: str) -> None:
    check_problem(await client.get(f"{EVENTS}/schemas/{name}"))
