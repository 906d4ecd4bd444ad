"""One Idempotency-Key acts once."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from actors import clock
from actors.runtime.message import GuildId
from serve_app.access import ACCESS
from tests.fixtures.gateway import client_of, whole_app

TASKS = "/api/v1/tasks"
KEY = {"Idempotency-Key": "order-17"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return whole_app()


@pytest.fixture
def guild() -> GuildId:
    return GuildId(clock.new_id("guild"))


@pytest.fixture
async def client(app: FastAPI, guild: GuildId) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, guild=guild) as client:
        yield client


async def count(client: httpx.AsyncClient) -> int:
    return len((await client.get(TASKS)).json()["items"])


async def test_a_repeat_gets_the_first_answer(client: httpx.AsyncClient) -> None:
    first = await client.post(TASKS, content=b'{"name":"a","tags":["b"]}', headers=KEY | JSON)
    again = await client.post(TASKS, content=b'{ "tags": ["b"], "name": "a" }', headers=KEY | JSON)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"]
    assert await count(client) == 1


async def test_another_body_under_the_same_key_is_422(client: httpx.AsyncClient) -> None:
    await client.post(TASKS, json={"name": "a"}, headers=KEY)

    answer = await client.post(TASKS, json={"name": "b"}, headers=KEY)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Idempotency-Key"
    assert await count(client) == 1


async def test_eight_at_once_make_one(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post(TASKS, json={"name": "a"}, headers=KEY) for _ in range(8))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await count(client) == 1


async def test_a_key_belongs_to_one_principal_and_one_route(
    app: FastAPI, client: httpx.AsyncClient, guild: GuildId
) -> None:
    mine = await client.post(TASKS, json={"name": "a"}, headers=KEY)
    async with client_of(app, guild=guild, principal="somebody_else") as other:
        theirs = await other.post(TASKS, json={"name": "b"}, headers=KEY)
    elsewhere = await client.post("/api/v1/incidents", json={"title": "a"}, headers=KEY)

    assert [answer.status_code for answer in (mine, theirs, elsewhere)] == [201, 201, 201]
    assert mine.json()["task_id"] != theirs.json()["task_id"]


async def test_one_key_for_two_things_of_one_route_is_422(client: httpx.AsyncClient) -> None:
    urls = [
        (
            await client.post(
                TASKS, json={"name": str(n)}, headers={"Idempotency-Key": f"make-{n}"}
            )
        ).headers["location"]
        for n in range(2)
    ]

    first = await client.post(f"{urls[0]}:cancel", json={"reason": "a"}, headers=KEY)
    second = await client.post(f"{urls[1]}:cancel", json={"reason": "a"}, headers=KEY)

    assert (first.status_code, second.status_code) == (200, 422)


@pytest.mark.parametrize("route", [route for route, rule in ACCESS.items() if rule.key_required])
async def test_where_it_is_required_it_cannot_be_missing(
    client: httpx.AsyncClient, route: str
) -> None:
    method, path = route.split(" ")
    answer = await client.request(method, path.replace("{", "").replace("}", ""), json={})

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


JSON = {"Content-Type": "application/json"}
