"""Hostile requests about subscriptions, loans, dead letters, replays, timers and erasures."""

import json
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
from actors.runtime.message import GuildId, Permission
from serve_app.access import ACCESS, Body
from tests.fixtures.gateway import app_over, client_of, key, settings
from tests.fixtures.memory_bus import MemoryBus

API = "/api/v1"
NAMED = f"{API}/subscriptions/orders"
MARK = "echo-me-if-you-dare"
BUS = ("subscriptions", "deadletters", "replays", "timers", "erasures")
TAKING_JSON = [
    route.replace("{name}", "orders")
    for route, rule in ACCESS.items()
    if rule.body is Body.JSON and route.split(f"{API}/")[-1].startswith(BUS)
]
FIELDS = [
    *("filter", "types", "expression", "similar_to", "min_score", "sink", "kind", "pool", "url"),
    *("stream", "delivery", "ack_deadline_s", "backoff_s", "begin", "end", "to", "position"),
    *("time", "speed", "max_events", "wait_s", "ack_ids", "delay_s", "reason", "subscription"),
    *("event_ids", "name", "due_at", "cron", "timezone", "data", "subject"),
]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return app_over({"bus": LocalPool(MemoryBus(settings()).handlers())})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, guild=GuildId(clock.new_id("guild"))) as client:
        await client.put(NAMED, json={"sink": {"kind": "pull"}})
        yield client


def check_problem(answer: httpx.Response) -> None:
    """The form of every refusal."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert MARK not in answer.text


async def send(client: httpx.AsyncClient, route: str, body: object) -> httpx.Response:
    method, url = route.split(" ")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **key()}
    return await client.request(method, url, content=content, headers=headers)


def test_every_route_of_the_bus_that_reads_a_body_is_among_these() -> None:
    assert len(TAKING_JSON) == 11


@pytest.mark.parametrize("route", TAKING_JSON)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"' + MARK.encode() + b'"',
        b'{"subscription": NaN}',
        b'{"subscription": "a\\u0000b"}',
        b'{"subscription": "\\ud83d"}',
        b'{"name": "a", "name": "b"}',
        b'{"sink":' * 40 + b"1" + b"}" * 40,
        json.dumps({MARK: MARK}).encode(),
        json.dumps({"guild_id": MARK, "sink": {"kind": MARK}}).encode(),
        json.dumps({"begin": {"time": MARK}, "to": {"position": MARK}, "end": MARK}).encode(),
        json.dumps({"ack_ids": [MARK], "event_ids": [MARK + "\x00"], "subject": [MARK]}).encode(),
        json.dumps({"name": {MARK: 1}, "cron": MARK, "timezone": MARK, "due_at": MARK}).encode(),
    ],
)
async def test_a_hostile_body_is_refused_and_not_repeated(
    client: httpx.AsyncClient, route: str, body: bytes
) -> None:
    check_problem(await send(client, route, body))


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (f"PUT {NAMED}", {"sink": {"kind": "pull"}, "filter": {"types": ["a"] * 101}}),
        (f"PUT {NAMED}", {"sink": {"kind": "pull"}, "filter": {"types": ["a" * 201]}}),
        (f"PUT {NAMED}", {"sink": {"kind": "pull"}, "filter": {"types": ["a\x1b[31m"]}}),
        (f"PUT {NAMED}", {"sink": {"kind": "pull"}, "filter": {"expression": "x" * 4_001}}),
        (f"PUT {NAMED}", {"sink": {"kind": "pull"}, "delivery": {"backoff_s": [1] * 1_001}}),
        (f"PUT {NAMED}", {"sink": {"kind": "pull"}, "delivery": {"ack_deadline_s": 1e308}}),
        (f"PUT {NAMED}", {"sink": {"kind": "pool", "pool": "../" + MARK}}),
        (f"PUT {NAMED}", {"sink": {"kind": "pool", "pool": "supervisor"}}),
        (f"PUT {NAMED}", {"sink": {"kind": "webhook", "url": "https://a\nb"}}),
        (f"PUT {NAMED}", {"sink": {"kind": "webhook", "url": "https://" + "a" * 2_000}}),
        (f"PUT {NAMED}", {"sink": {"kind": "stream", "stream": "*\r\nFLUSHALL\r\n"}}),
        (f"PUT {API}/subscriptions/..%2f{MARK}", {"sink": {"kind": "pull"}}),
        (f"PUT {API}/subscriptions/{MARK.upper()}", {"sink": {"kind": "pull"}}),
        (f"PUT {API}/subscriptions/" + "a" * 8_000, {"sink": {"kind": "pull"}}),
        (f"POST {NAMED}:seek", {"to": {"position": "1-" + "9" * 30 + "-1"}}),
        (f"POST {NAMED}:seek", {"to": {"time": "9999-12-31T23:59:59-14:00"}}),
        (f"POST {NAMED}:seek", {"to": {"time": 1_700_000_000}}),
        (f"POST {NAMED}:pull", {"max_events": 2**31}),
        (f"POST {NAMED}:pull", {"wait_s": 86_400}),
        (f"POST {NAMED}:ack", {"ack_ids": ["1-1.1'; DROP TABLE events --"]}),
        (f"POST {NAMED}:ack", {"ack_ids": ["9" * 40 + "-1.1"]}),
        (f"POST {NAMED}:ack", {"ack_ids": ["1-1.1.task_01k0000000000000000000000u"]}),
        (f"POST {NAMED}:ack", {"ack_ids": ["1-1.1"] * 10_001}),
        (f"POST {API}/deadletters:redrive", {"subscription": "orders\x00"}),
        (f"POST {API}/deadletters:redrive", {"subscription": "a" * 201}),
        (f"POST {API}/timers", {"name": "a", "cron": "* " * 4_000}),
        (f"POST {API}/timers", {"name": "a", "cron": "0 0 1 1 *", "timezone": "/etc/passwd"}),
        (f"POST {API}/timers", {"name": "a", "due_at": "0001-01-01T00:00:00+14:00"}),
        (f"POST {API}/erasures", {"subject": "x" * 501}),
        (f"POST {API}/erasures", {"subject": "a\nb"}),
        (f"POST {API}/erasures", {"subject": None}),
    ],
)
async def test_what_is_too_much_or_is_none_is_refused(
    client: httpx.AsyncClient, route: str, body: object
) -> None:
    check_problem(await send(client, route, body))


@pytest.mark.parametrize(
    "url",
    [
        f"{API}/subscriptions?limit=101",
        f"{API}/subscriptions?cursor=AAAA%21",
        f"{API}/subscriptions?cursor=gICA",
        f"{API}/subscriptions?state=active",
        f"{API}/subscriptions/%00",
        f"{API}/subscriptions/orders%0a",
        f"{API}/subscriptions/orders:pull",
        f"{API}/subscriptions/orders/secret",
        f"{API}/deadletters?state={MARK}",
        f"{API}/deadletters?subscription=%20",
        f"{API}/deadletters?cursor=AAAA",
        f"{API}/deadletters:redrive/",
        f"{API}/replays?cursor=gICA",
        f"{API}/replays/{MARK}",
        f"{API}/timers?state=pending&state={MARK}",
        f"{API}/timers?cursor=AAAA",
        f"{API}/timers/timer_1",
        f"{API}/sagas?state={MARK}",
        f"{API}/sagas?cursor=AAAA",
        f"{API}/sagas/..%2f..%2f",
    ],
)
async def test_a_hostile_address_is_refused(client: httpx.AsyncClient, url: str) -> None:
    check_problem(await client.get(url))


@limits(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from(["beginning", "pull", "webhook", "1-1-1", "1-1.1", "* * * * *"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    route=st.sampled_from(TAKING_JSON),
)
async def test_no_value_at_all_makes_us_fail(app: FastAPI, body: object, route: str) -> None:
    async with client_of(app) as client:
        answer = await send(client, route, body)

    assert answer.status_code < 500, answer.text


async def test_who_may_only_read_and_write_neither_hears_nor_declares(app: FastAPI) -> None:
    user = {Permission.READ, Permission.WRITE, *(p for p in Permission if p.startswith("sage."))}
    ways: dict[str, Any] = {
        f"PUT {NAMED}": {"sink": {"kind": "webhook", "url": "https://a.test"}},
        f"POST {NAMED}:pull": {},
        f"POST {NAMED}:replay": {"begin": "beginning"},
        f"POST {API}/deadletters:redrive": {"subscription": "orders"},
        f"POST {API}/timers": {"name": "a", "due_at": "2031-01-01T00:00:00Z"},
        f"POST {API}/erasures": {"subject": "somebody"},
    }

    async with client_of(app, user) as client:
        answers = [await send(client, route, body) for route, body in ways.items()]
        looks = [await client.get(f"{API}/{place}") for place in ("deadletters", "timers")]

    assert {answer.status_code for answer in (*answers, *looks)} == {403}
