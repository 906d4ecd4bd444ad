"""Dead letters and replays over HTTP, over the real sages."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from actors import clock
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Permission
from serve_app.schemas.dead_letter import DeadLettersView, DeadLetterView
from tests.fixtures.bus_builders import GUILD, dead_letter, new_event, stored_event
from tests.fixtures.gateway import app_over, client_of, key, settings
from tests.fixtures.memory_bus import MemoryBus

API = "/api/v1"
ELDER = frozenset(Permission) - {Permission.ADMIN}
STRANGER = GuildId(clock.new_id("guild"))


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(settings())


@pytest.fixture
def app(bus: MemoryBus) -> FastAPI:
    return app_over({"bus": LocalPool(bus.handlers())})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, ELDER, GUILD) as client:
        await client.put(f"{API}/subscriptions/orders", json={"sink": {"kind": "pull"}})
        yield client


@pytest.fixture
def letters(bus: MemoryBus) -> list[str]:
    """Three dead letters, the oldest first, of which the last cannot be read."""
    bus.letters.letters += [
        dead_letter("orders", stored_event(new_event(f"order-{age}"), age + 1), age)
        for age in range(3)
    ]
    found = bus.letters.letters
    found[-1] = replace(found[-1], event=None)
    return [one.event_id for one in found]


async def listed(client: httpx.AsyncClient, query: str = "") -> list[tuple[str, str]]:
    items = (await client.get(f"{API}/deadletters{query}")).json()["items"]
    return [(one["event_id"], one["state"]) for one in items]


async def test_dead_letters_are_shown_with_reason_and_event(
    client: httpx.AsyncClient, letters: list[str]
) -> None:
    answer = await client.get(f"{API}/deadletters")

    newest, middle, _ = answer.json()["items"]
    assert newest.keys() == DeadLetterView.model_fields.keys()
    DeadLettersView.model_validate(answer.json())
    assert (newest["event_id"], newest["event"]) == (letters[2], None)
    assert (middle["reason"], middle["attempts"], middle["state"]) == ("poison", 5, "waiting")
    assert (middle["event"]["id"], middle["event"]["data"]) == ("order-1", {"total": 3})


async def test_dead_letters_come_in_pages_of_what_is_asked_for(
    client: httpx.AsyncClient, letters: list[str]
) -> None:
    first = await client.get(f"{API}/deadletters?limit=2&subscription=orders")
    link = first.headers["link"].split(">")[0].lstrip("<")
    rest = await client.get(link)

    assert [one["event_id"] for one in first.json()["items"]] == letters[:0:-1]
    assert [one["event_id"] for one in rest.json()["items"]] == letters[:1]
    assert "subscription=orders" in link
    assert await listed(client, "?subscription=another") == []
    assert await listed(client, "?state=redriven&state=discarded") == []


async def test_named_letters_are_redriven_once_and_all_without_names(
    client: httpx.AsyncClient, letters: list[str]
) -> None:
    url, orders = f"{API}/deadletters:redrive", {"subscription": "orders"}

    one = await client.post(url, json=orders | {"event_ids": letters[:1]})
    again = await client.post(url, json=orders | {"event_ids": letters[:1]})
    others = await client.post(url, json=orders)

    assert [answer.status_code for answer in (one, again, others)] == [202] * 3
    assert [answer.json() for answer in (one, again, others)] == [
        {"requested": 1},
        {"requested": 0},
        {"requested": 2},
    ]
    assert {state for _, state in await listed(client)} == {"requested"}


async def test_discarded_letters_stay_listed_as_such(
    client: httpx.AsyncClient, letters: list[str]
) -> None:
    body = {"subscription": "orders", "event_ids": letters[:1]}

    done = await client.post(f"{API}/deadletters:discard", json=body)

    assert (done.status_code, done.json()) == (200, {"discarded": 1})
    assert await listed(client, "?state=discarded") == [(letters[0], "discarded")]


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("redrive", {}),
        ("redrive", {"subscription": " "}),
        ("redrive", {"subscription": "orders", "event_ids": []}),
        ("redrive", {"subscription": "orders", "event_ids": [""]}),
        ("redrive", {"subscription": "orders", "event_ids": ["a"] * 1_001}),
        ("redrive", {"subscription": "orders", "all": True}),
        ("discard", {"subscription": "orders"}),
        ("discard", {"subscription": "orders", "event_ids": []}),
    ],
)
async def test_what_names_no_letters_marks_none(
    client: httpx.AsyncClient, letters: list[str], verb: str, body: dict[str, object]
) -> None:
    refused = await client.post(f"{API}/deadletters:{verb}", json=body)

    assert refused.status_code == 422
    assert {state for _, state in await listed(client)} == {"waiting"}


async def test_a_replay_is_started_either_way_and_cancelled(client: httpx.AsyncClient) -> None:
    stretch = {"begin": {"position": "1-5-0"}, "end": {"position": "1-9-0"}, "speed": 1}

    first = await client.post(
        f"{API}/replays", json=stretch | {"subscription": "orders"}, headers=key()
    )
    second = await client.post(
        f"{API}/subscriptions/orders:replay", json={"begin": "beginning"}, headers=key()
    )
    cancelled = await client.post(f"{first.headers['location']}:cancel")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["begin"] == "1-5-0"
    assert (first.json()["end"], first.json()["speed"]) == ("1-9-0", 1.0)
    assert second.headers["location"] == f"{API}/replays/{second.json()['replay_id']}"
    assert cancelled.json()["state"] == "cancelled"
    assert (await client.get(first.headers["location"])).json() == cancelled.json()
    states = [one["state"] for one in (await client.get(f"{API}/replays")).json()["items"]]
    assert sorted(states) == ["cancelled", "running"]


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"subscription": "nobody"}, 404, None),
        ({"subscription": None}, 422, "body/subscription"),
        ({"begin": "middle"}, 422, "body/begin"),
        ({"begin": {"position": "1-9-0"}, "end": {"position": "1-5-0"}}, 422, "end"),
        ({"speed": 1_001}, 422, "speed"),
        ({"speed": -1}, 422, "body/speed"),
        ({"to": "end"}, 422, "body/to"),
    ],
)
async def test_a_replay_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, changes: dict[str, object], status: int, pointer: str | None
) -> None:
    body = {"subscription": "orders", "begin": "beginning"} | changes

    refused = await client.post(f"{API}/replays", json=body, headers=key())

    assert refused.status_code == status, refused.text
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer][: status == 422]
    assert (await client.get(f"{API}/replays")).json()["items"] == []


async def test_what_is_no_id_or_nobodys_is_not_found(client: httpx.AsyncClient) -> None:
    for name in (clock.new_id("rpl"), "a", "a'--", f"rpl_{'z' * 27}"):
        assert (await client.get(f"{API}/replays/{name}")).status_code == 404


async def test_another_guild_sees_none_of_it(app: FastAPI, client: httpx.AsyncClient) -> None:
    replay = await client.post(
        f"{API}/subscriptions/orders:replay", json={"begin": "beginning"}, headers=key()
    )

    async with client_of(app, ELDER, STRANGER) as stranger:
        url = replay.headers["location"]
        assert (await stranger.get(url)).status_code == 404
        assert (await stranger.post(f"{url}:cancel")).status_code == 404
        assert (await stranger.get(f"{API}/replays")).json()["items"] == []
