"""Subscriptions over HTTP, over the real sage."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from actors import clock
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Permission
from tests.fixtures.gateway import app_over, at, client_of, key, settings
from tests.fixtures.memory_bus import MemoryBus

ALL = "/api/v1/subscriptions"
PULL = {"sink": {"kind": "pull"}}
HOOK = {"sink": {"kind": "webhook", "url": "https://hooks.example.test/in?token=hunter2"}}
ELDER = frozenset(Permission) - {Permission.ADMIN}


@pytest.fixture(scope="module")
def bus() -> MemoryBus:
    return MemoryBus(settings())


@pytest.fixture(scope="module")
def app(bus: MemoryBus) -> FastAPI:
    return app_over({"bus": LocalPool(bus.handlers())})


@pytest.fixture
def guild() -> GuildId:
    return GuildId(clock.new_id("guild"))


@pytest.fixture
async def client(app: FastAPI, guild: GuildId) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, ELDER, guild) as client:
        yield client


async def put(
    client: httpx.AsyncClient,
    body: dict[str, Any] = PULL,
    headers: Mapping[str, str] | None = None,
    name: str = "orders",
) -> httpx.Response:
    return await client.put(f"{ALL}/{name}", json=body, headers=headers)


async def test_what_is_declared_is_shown_with_how_it_stands(client: httpx.AsyncClient) -> None:
    made = await put(
        client,
        {
            "filter": {"types": ["sage.incident.*"], "expression": "data.severity == 'high'"},
            "sink": {"kind": "pull"},
            "delivery": {"ack_deadline_s": 5, "max_attempts": 3, "backoff_s": [1, 2.5]},
        },
    )

    shown = await client.get(made.headers["location"])
    assert (made.status_code, made.headers["location"]) == (201, f"{ALL}/orders")
    assert shown.json() == made.json()
    assert shown.headers["etag"] == '"1"'
    one = shown.json()
    assert one["filter"] == {
        "types": ["sage.incident.*"],
        "expression": "data.severity == 'high'",
        "similar_to": None,
        "min_score": None,
    }
    assert one["sink"] == {"kind": "pull"}
    assert one["delivery"] == {
        "ordering": "aggregate",
        "ack_deadline_s": 5.0,
        "max_attempts": 3,
        "backoff_s": [1.0, 2.5],
        "max_in_flight": 64,
    }
    assert (one["state"], one["version"], one["created_by"]) == ("active", 1, "user_of_the_tests")
    assert one["progress"] == {
        "cursor": None,
        "lag": 0,
        "oldest_unacked_s": 0.0,
        "waiting": 0,
        "dead_letters": 0,
    }


async def test_the_same_again_is_200_and_a_difference_is_the_next_version(
    client: httpx.AsyncClient,
) -> None:
    first, same = await put(client), await put(client)
    changed = await put(client, PULL | {"filter": {"types": ["custom.*"]}})

    assert [answer.status_code for answer in (first, same, changed)] == [201, 200, 200]
    assert [answer.headers["etag"] for answer in (first, same, changed)] == ['"1"', '"1"', '"2"']
    assert "location" not in same.headers


async def test_preconditions_of_a_put_are_kept(client: httpx.AsyncClient) -> None:
    changes = PULL | {"delivery": {"max_attempts": 2}}
    unknown = await put(client, PULL, at(3))
    made = await put(client, PULL, {"If-None-Match": "*"})
    there = await put(client, PULL, {"If-None-Match": "*"})
    stale = await put(client, changes, at(7))
    changed = await put(client, changes, at(1))

    codes = [answer.status_code for answer in (unknown, made, there, stale, changed)]
    assert codes == [412, 201, 412, 412, 200]


@pytest.mark.parametrize(
    "headers", [{"If-None-Match": '"1"'}, {"If-None-Match": "*", "If-Match": '"1"'}]
)
async def test_preconditions_that_make_no_sense_are_400(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await put(client, PULL, headers)).status_code == 400


async def test_a_deleted_subscription_is_gone(client: httpx.AsyncClient) -> None:
    await put(client)
    url = f"{ALL}/orders"

    unguarded = await client.delete(url)
    stale = await client.delete(url, headers=at(9))
    deleted = await client.delete(url, headers=at(1))

    assert [unguarded.status_code, stale.status_code, deleted.status_code] == [428, 412, 204]
    assert (await client.get(url)).status_code == 404
    assert (await client.delete(url, headers=at(1))).status_code == 404


async def test_a_list_goes_by_name_in_pages(client: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await put(client, name=name)

    first = await client.get(f"{ALL}?limit=2")
    rest = await client.get(first.headers["link"].split(">")[0].lstrip("<"))

    assert [one["name"] for one in first.json()["items"]] == ["a", "b"]
    assert [one["name"] for one in rest.json()["items"]] == ["c"]
    assert rest.json()["next_cursor"] is None


async def test_pausing_and_resuming(client: httpx.AsyncClient) -> None:
    await put(client)

    paused = await client.post(f"{ALL}/orders:pause")
    resumed = await client.post(f"{ALL}/orders:resume")

    assert (paused.json()["state"], resumed.json()["state"]) == ("paused", "active")
    assert resumed.headers["etag"] == '"3"'


@pytest.mark.parametrize(
    "place",
    ["beginning", "end", {"position": "1-100-1"}, {"time": "2026-03-01T13:00:00+01:00"}],
)
async def test_seeking_begins_a_generation_at_any_kind_of_place(
    client: httpx.AsyncClient, bus: MemoryBus, place: object
) -> None:
    await put(client)

    sought = await client.post(f"{ALL}/orders:seek", json={"to": place}, headers=key())

    assert sought.status_code == 200, sought.text
    assert sought.json()["generation"] == 2
    origin = bus.subscriptions.origins["orders"]
    assert str(origin) in {"beginning", "end", "1-100-1", "2026-03-01 12:00:00+00:00"}
    assert isinstance(origin, str) is isinstance(place, str)


async def test_a_secret_is_in_the_answer_that_made_it_and_in_no_other(
    client: httpx.AsyncClient,
) -> None:
    made = await put(client, HOOK)
    same = await put(client, HOOK)
    read = await client.get(f"{ALL}/orders")
    rotated = await client.post(f"{ALL}/orders:rotate-secret", headers=key())

    assert made.json()["secret"].startswith("secret-1-")
    assert rotated.json()["secret"].startswith("secret-2-")
    assert rotated.json()["sink"]["key_version"] == 2
    for answer in (made, rotated):
        assert answer.headers["cache-control"] == "no-store"
    for answer in (same, read, await client.get(ALL)):
        assert "secret-" not in answer.text
        assert answer.headers["cache-control"] == "no-store"


async def test_of_a_webhooks_address_only_elders_see_more_than_the_host(
    app: FastAPI, client: httpx.AsyncClient, guild: GuildId
) -> None:
    await put(client, HOOK)

    async with client_of(app, {Permission.READ}, guild) as reader:
        answers = [await reader.get(f"{ALL}/orders"), await reader.get(ALL)]

    assert (await client.get(f"{ALL}/orders")).json()["sink"]["url"] == HOOK["sink"]["url"]
    assert answers[0].json()["sink"]["url"] == "https://hooks.example.test"
    assert not any("hunter2" in answer.text for answer in answers)


async def test_a_pool_as_a_sink_needs_an_administrator(
    app: FastAPI, client: httpx.AsyncClient, guild: GuildId
) -> None:
    body = {"sink": {"kind": "pool", "pool": "task", "batch": 10}}

    refused = await put(client, body)
    async with client_of(app, {Permission.ADMIN}, guild) as admin:
        made = await put(admin, body)
    paused = await client.post(f"{ALL}/orders:pause")

    assert (refused.status_code, made.status_code, paused.status_code) == (403, 201, 403)
    assert made.json()["sink"] == {"kind": "pool", "pool": "task", "batch": 10}


@pytest.mark.parametrize(
    "sink",
    [
        {"kind": "pull"},
        {"kind": "sse"},
        {"kind": "stream", "stream": "orders", "max_length": 500},
    ],
)
async def test_every_kind_of_sink_is_shown_as_it_was_given(
    client: httpx.AsyncClient, sink: dict[str, Any]
) -> None:
    assert (await put(client, {"sink": sink})).json()["sink"] == sink


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "body/sink"),
        ({"sink": {}}, "body/sink"),
        ({"sink": {"kind": "carrier-pigeon"}}, "body/sink"),
        ({"sink": {"kind": "webhook"}}, "body/sink/webhook/url"),
        ({"sink": {"kind": "webhook", "url": "http://10.0.0.1/"}}, "sink.url"),
        ({"sink": {"kind": "webhook", "url": "https://a.test", "key_version": 2}},
         "body/sink/webhook/key_version"),
        ({"sink": {"kind": "stream", "stream": "A b"}}, "sink.stream"),
        ({"sink": {"kind": "stream", "stream": "a", "max_length": 10**7}}, "sink.max_length"),
        (PULL | {"filter": {"type": ["a"]}}, "body/filter/type"),
        (PULL | {"filter": {"types": "custom.*"}}, "body/filter/types"),
        (PULL | {"filter": {"types": [" "]}}, "body/filter/types/0"),
        (PULL | {"filter": {"expression": "1 +"}}, "filter.expression"),
        (PULL | {"filter": {"min_score": 0.5}}, "filter.min_score"),
        (PULL | {"filter": {"similar_to": "a", "min_score": 2}}, "body/filter/min_score"),
        (PULL | {"delivery": {"ack_deadline_s": 0.5}}, "delivery.ack_deadline_s"),
        (PULL | {"delivery": {"ack_deadline_s": 3601}}, "delivery.ack_deadline_s"),
        (PULL | {"delivery": {"ack_deadline_s": "30"}}, "body/delivery/ack_deadline_s"),
        (PULL | {"delivery": {"ack_deadline": 30}}, "body/delivery/*"),
        (PULL | {"delivery": {"max_attempts": 0}}, "delivery.max_attempts"),
        (PULL | {"delivery": {"max_attempts": True}}, "body/delivery/max_attempts"),
        (PULL | {"delivery": {"backoff_s": []}}, "delivery.backoff_s"),
        (PULL | {"delivery": {"backoff_s": [-1]}}, "body/delivery/backoff_s/0"),
        (PULL | {"delivery": {"ordering": "random"}}, "body/delivery/ordering"),
        (PULL | {"begin": "middle"}, "body/begin"),
        (PULL | {"begin": {"position": "1-1"}}, "body/begin"),
        (PULL | {"begin": {"time": "yesterday"}}, "body/begin"),
        (PULL | {"begin": {"time": "2026-03-01T12:00:00Z", "position": "1-1-1"}}, "body/begin"),
        (PULL | {"state": "paused"}, "body/state"),
    ],
)  # fmt: skip
async def test_what_cannot_be_declared_is_422_and_named(
    client: httpx.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    refused = await put(client, body)

    assert refused.status_code == 422, refused.text
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    assert (await client.get(ALL)).json()["items"] == []


@pytest.mark.parametrize("name", ["Upper", "-a", "a" * 64, "a b", "ä", "a:b", "a:pull"])
async def test_a_name_that_is_none_is_refused_or_not_found(
    client: httpx.AsyncClient, name: str
) -> None:
    refused = await put(client, name=name)

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "name"
    assert (await client.get(f"{ALL}/{name}")).status_code == 404


async def test_another_guilds_subscription_is_not_there(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    await put(client)

    async with client_of(app, ELDER, GuildId(clock.new_id("guild"))) as stranger:
        answers = [
            await stranger.get(f"{ALL}/orders"),
            await stranger.post(f"{ALL}/orders:pause"),
            await stranger.delete(f"{ALL}/orders", headers=at(1)),
            await stranger.post(f"{ALL}/orders:seek", json={"to": "end"}, headers=key()),
        ]

    assert {answer.status_code for answer in answers} == {404}
