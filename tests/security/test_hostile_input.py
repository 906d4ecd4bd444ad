"""Hostile requests: each gets a problem in the 4xx that tells nothing, and changes nothing."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from actors import clock
from actors.runtime.message import GuildId
from tests.fixtures.gateway import at, client_of, key, whole_app

TASKS = "/api/v1/tasks"
INTAKE = "/api/v1/alerts/alertmanager"
SEARCH = "/api/v1/rag/search"
MARK = "echo-me-if-you-dare"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return whole_app()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Of a guild of the test's own, so that nothing can be in it but what the test puts there."""
    async with client_of(app, guild=GuildId(clock.new_id("guild"))) as client:
        yield client


def check_problem(answer: httpx.Response) -> dict[str, Any]:
    """The form of every refusal."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert MARK not in answer.text
    return problem


async def post(
    client: httpx.AsyncClient, body: bytes | Iterator[bytes] | object, path: str = TASKS
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **key()}
    return await client.post(path, content=content, headers=headers)


def alert(**changed: Any) -> dict[str, Any]:
    good = {
        "status": "firing",
        "labels": {"alertname": "DiskFull"},
        "annotations": {},
        "startsAt": "2026-03-01T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "c0ffee",
    }
    return {**good, **changed}


def notification(*alerts: dict[str, Any], **changed: Any) -> dict[str, Any]:
    good = {
        "version": "4",
        "groupKey": "{}",
        "status": "firing",
        "receiver": "guild",
        "alerts": list(alerts) or [alert()],
    }
    return {**good, **changed}


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"name": "',
    "a word": MARK.encode(),
    "null": b"null",
    "a list": b"[]",
    "a text": f'"{MARK}"'.encode(),
    "a number": b"1",
    "an empty object": b"{}",
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": "a", "max_retries": Infinity}',
    "1e999": b'{"name": "a", "max_retries": 1e999}',
    "1e308 where a small number goes": b'{"name": "a", "max_retries": 1e308}',
    "a number of 400 digits": b'{"name": "a", "max_retries": ' + b"9" * 400 + b"}",
    "a lone surrogate": b'{"name": "\\ud83d"}',
    "a lone surrogate as a key": b'{"name": "a", "\\udc00": 1}',
    "surrogates in the wrong order": b'{"name": "\\ude00\\ud83d"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\xbd"}',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "NUL escaped": b'{"name": "a\\u0000b"}',
    "NUL bare": b'{"name": "a\x00b"}',
    "NUL in a key": b'{"name": "a", "labels": {"\\u0000": "b"}}',
    "200,000 deep": b"[" * 200_000,
    "100,000 objects deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "33 deep": b'{"name": ' + b"[" * 33 + b"]" * 33 + b"}",
    "2,000 keys": json.dumps({"name": "a", "labels": {str(n): "" for n in range(2000)}}).encode(),
    "a key twice": b'{"name": "a", "name": "b"}',
    "a key twice, once escaped": b'{"name": "a", "\\u006eame": "b"}',
    "a title of spaces": b'{"name": "      "}',
    "a title of wide spaces": json.dumps({"name": "\u2003\u00a0\u3000"}).encode(),
    "a title of line breaks": b'{"name": "\\n\\r\\t"}',
    "a title with a line break": b'{"name": "a\\nb"}',
    "a title with an escape sequence": b'{"name": "\\u001b[31mred"}',
    "a title too long": json.dumps({"name": "a" * 201}).encode(),
    "a title that is a number": b'{"name": 1}',
    "a title that is an object": json.dumps({"name": {MARK: MARK}}).encode(),
    "an unknown field": json.dumps({"name": "a", MARK: 1}).encode(),
    "somebody else's guild": b'{"name": "a", "guild_id": "guild_1"}',
    "a version of its own": b'{"name": "a", "version": 7}',
    "a status of its own": b'{"name": "a", "status": "completed"}',
    "a creator of its own": b'{"name": "a", "created_by": "admin"}',
    "a prototype": b'{"name": "a", "__proto__": {"admin": true}}',
    "an unknown priority": json.dumps({"name": "a", "priority": MARK}).encode(),
    "a priority in a list": b'{"name": "a", "priority": ["high"]}',
    "eleven tags": json.dumps({"name": "a", "tags": [str(n) for n in range(11)]}).encode(),
    "a blank tag": b'{"name": "a", "tags": [" "]}',
    "tags as a text": b'{"name": "a", "tags": "one"}',
    "labels with numbers": b'{"name": "a", "labels": {"a": 1}}',
    "labels with bad names": json.dumps({"name": "a", "labels": {MARK: None}}).encode(),
    "a time as a number": b'{"name": "a", "due_at": 1700000000}',
    "a time without a zone": b'{"name": "a", "due_at": "2026-03-01T12:00:00"}',
    "a time before all times": b'{"name": "a", "due_at": "0001-01-01T00:00:00+14:00"}',
    "a time after all times": b'{"name": "a", "due_at": "9999-12-31T23:59:59-14:00"}',
    "the 30th of February": b'{"name": "a", "due_at": "2026-02-30T12:00:00Z"}',
    "retries below zero": b'{"name": "a", "max_retries": -1}',
    "retries that are true": b'{"name": "a", "max_retries": true}',
    "retries as a text": b'{"name": "a", "max_retries": "3"}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "YAML": b"!!python/object/apply:os.system ['true']",
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, name: str
) -> None:
    check_problem(await post(client, BODIES[name]))

    assert (await client.get(TASKS)).json()["items"] == []


@limits(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "tags", "labels", "due_at", "max_retries"]) | st.text(),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
    path=st.sampled_from([TASKS, INTAKE, SEARCH, "/api/v1/incidents", "/oauth/login"]),
)
async def test_no_value_at_all_makes_us_fail(app: FastAPI, body: object, path: str) -> None:
    async with client_of(app) as client:
        answer = await post(client, body, path)

    assert answer.status_code < 500, answer.text


async def test_a_body_of_20_mb_is_refused_at_once(client: httpx.AsyncClient) -> None:
    for path in (TASKS, INTAKE, SEARCH, "/api/v1/rag/documents", "/oauth/login"):
        answer = await post(client, b"x" * 20_000_000, path)

        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"


async def test_a_body_without_a_length_is_counted_while_it_arrives(app: FastAPI) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b"x" * 65_536

    async with client_of(app) as client:
        answer = await client.post(
            TASKS, content=endless(), headers={"Content-Type": "application/json", **key()}
        )

    assert answer.status_code == 413
    assert sent <= (1 << 20) + 2 * 65_536


async def test_nobody_without_a_token_gets_a_body_read(app: FastAPI) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with client_of(app) as client:
        answer = await client.post(TASKS, content=never(), headers={"Authorization": "Bearer x"})

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "text/json", "application/xml", "multipart/form-data", "json"]
)
async def test_another_media_type_is_415(client: httpx.AsyncClient, media_type: str) -> None:
    headers = {"Content-Type": media_type, **key()}
    answer = await client.post(TASKS, content=b'{"name": "a"}', headers=headers)

    assert answer.status_code == 415
    check_problem(answer)


@pytest.mark.parametrize(
    "url",
    [
        "/api/v1/tasks?limit=0",
        "/api/v1/tasks?limit=101",
        "/api/v1/tasks?limit=ten",
        "/api/v1/tasks?limit=1e1",
        "/api/v1/tasks?limit=" + "9" * 5000,
        "/api/v1/tasks?cursor=" + MARK + "!",
        "/api/v1/tasks?cursor=AAAA",
        "/api/v1/tasks?cursor=" + "A" * 600,
        "/api/v1/tasks?cursor=gICA",
        "/api/v1/tasks?status=" + MARK,
        "/api/v1/tasks?" + MARK + "=1",
        "/api/v1/tasks?assignee=%00",
        "/api/v1/tasks?assignee=%ff",
        "/api/v1/tasks?assignee=%ed%a0%80",
        "/api/v1/tasks?assignee=%20%20",
        "/api/v1/tasks/%00",
        "/api/v1/tasks/" + MARK,
        "/api/v1/tasks/%2e%2e%2f" + MARK,
        "/api/v1/tasks/task_01k0000000000000000000000a%0a",
        "/api/v1/tasks/" + "a" * 8000,
        "/api/v1/incidents/inc_1'--",
        "/api/v1/incidents?severity=BLOCKER5",
        "/api/v1/incidents?cursor=AAAA",
        "/api/v1/knowledge/entities/know_01k0000000000000000000000a/versions/0",
        "/api/v1/knowledge/entities/know_01k0000000000000000000000a/versions/99999999999",
        "/api/v1/rag/documents/doc_01k0000000000000000000000a?version=-1",
        "/api/v1/ping/" + MARK,
        "/api/v1/" + MARK,
        "/%ff",
    ],
)
async def test_a_hostile_address_is_refused(client: httpx.AsyncClient, url: str) -> None:
    check_problem(await client.get(url))


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Idempotency-Key", b"", 400),
        ("Idempotency-Key", b"x" * 256, 400),
        ("Idempotency-Key", b"two words", 400),
        ("Idempotency-Key", b"\xff", 400),
        ("Content-Length", b"-1", 400),
        ("Content-Type", b"\xff\xfe", 415),
    ],
)
async def test_a_hostile_header_is_refused(
    client: httpx.AsyncClient, name: str, value: bytes, status: int
) -> None:
    headers = {b"content-type": b"application/json", b"idempotency-key": b"one"}
    headers[name.lower().encode()] = value
    answer = await client.post(TASKS, content=b'{"name": "a"}', headers=headers)

    assert answer.status_code == status
    check_problem(answer)


@pytest.mark.parametrize("tag", ["1", '"0"', 'W/"1"', "*", '"1", "2"', '"x"', '"' + "9" * 30 + '"'])
async def test_an_if_match_that_is_no_version_of_ours_is_412(
    client: httpx.AsyncClient, tag: str
) -> None:
    url = f"{TASKS}/task_01k0000000000000000000000a"
    answer = await client.patch(url, json={"name": "b"}, headers={"If-Match": tag})

    assert answer.status_code == 412
    check_problem(answer)


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Correlation-Id"])
async def test_an_id_that_could_forge_a_log_line_is_replaced(
    client: httpx.AsyncClient, name: str
) -> None:
    for value in ("a b", "x" * 65, "", "{}"):
        answer = await client.get("/api/v1/noop", headers={name.encode(): value.encode()})

        assert answer.status_code == 200
        assert answer.headers[name] != value
    kept = await client.get("/api/v1/noop", headers={name: "order-17.a:b_c"})
    assert kept.headers[name] == "order-17.a:b_c"

    refused = await client.get("/api/v1/noop", headers={name.encode(): f"{MARK}\x1b[2J".encode()})
    assert refused.status_code == 400
    assert MARK not in f"{refused.headers} {refused.text}"


@pytest.mark.parametrize(
    "position",
    ["", "x", "1", "1-1", "1-1-", "-1-1-1", "1-1-1-1", "1-" + "9" * 30 + "-1", "1-1-1\n"],
)
async def test_a_position_that_is_none_is_422(client: httpx.AsyncClient, position: str) -> None:
    answer = await post(client, {"query": "a", "min_position": position}, SEARCH)

    assert answer.status_code == 422
    check_problem(answer)


INTAKES: dict[str, object] = {
    "another version": notification(version="3"),
    "no alerts": {**notification(), "alerts": []},
    "alerts as an object": {**notification(), "alerts": {}},
    "an unknown status": notification(alert(status="burning")),
    "no fingerprint": {**notification(), "alerts": [{"status": "firing", "labels": {}}]},
    "a strange fingerprint": notification(alert(fingerprint="../../x")),
    "a start that is none": notification(alert(startsAt="yesterday")),
    "labels that are none": notification(alert(labels=[MARK])),
    "a label of a megabyte": notification(alert(labels={"alertname": "x" * 1_000_000})),
    "1,000 labels": notification(alert(labels={str(n): "" for n in range(1000)})),
    "NUL in a label": notification(alert(labels={"alertname": "a\x00"})),
}


@pytest.mark.parametrize("name", INTAKES)
async def test_a_hostile_notification_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, name: str
) -> None:
    check_problem(await post(client, INTAKES[name], INTAKE))

    assert (await client.get("/api/v1/incidents")).json()["items"] == []


async def test_more_alerts_than_we_take_are_413(client: httpx.AsyncClient) -> None:
    alerts = [alert(fingerprint=f"{number:x}") for number in range(5_001)]

    answer = await post(client, notification(*alerts), INTAKE)

    assert answer.status_code == 413
    assert (await client.get("/api/v1/incidents")).json()["items"] == []


async def test_a_repeated_secret_is_never_answered(client: httpx.AsyncClient) -> None:
    answer = await post(client, {"login": MARK, "password": MARK}, "/oauth/login")

    assert answer.status_code == 401
    assert MARK not in answer.text


async def test_what_another_version_says_of_itself_does_not_matter(
    client: httpx.AsyncClient,
) -> None:
    made = (await post(client, {"name": "one"})).json()

    answer = await client.patch(
        f"{TASKS}/{made['task_id']}", json={"name": "two"}, headers=at(made["version"] + 1)
    )

    assert answer.status_code == 412
    assert (await client.get(f"{TASKS}/{made['task_id']}")).json()["name"] == "one"
