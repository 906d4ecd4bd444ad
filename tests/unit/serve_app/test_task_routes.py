"""Tasks over HTTP, over the real sage."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from actors import clock
from actors.runtime.message import GuildId
from tests.fixtures.gateway import at, client_of, key, whole_app

TASKS = "/api/v1/tasks"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return whole_app()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, guild=GuildId(clock.new_id("guild"))) as client:
        yield client


async def create(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    answer = await client.post(TASKS, json={"name": "Double the volume", **fields}, headers=key())
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_task_is_what_was_sent(client: httpx.AsyncClient) -> None:
    made = await create(
        client,
        name="  Double the volume ",
        priority="high",
        due_at="2026-03-01T13:00:00+01:00",
        tags=["storage"],
        labels={"team": "db"},
    )

    task = made.json()
    assert task == (await client.get(made.headers["location"])).json()
    assert task["name"] == "Double the volume"
    assert task["due_at"] == "2026-03-01T12:00:00.000Z"
    assert (task["status"], task["priority"]) == ("pending", "high")
    assert task["created_by"] == "user_of_the_tests"


async def test_a_task_is_started_completed_and_final(client: httpx.AsyncClient) -> None:
    url = (await create(client)).headers["location"]
    await client.post(f"{url}:assign", json={"assignee": "user_of_the_tests"})
    started = await client.post(f"{url}:start")
    completed = await client.post(f"{url}:complete", json={"result": "done"})
    cancelled = await client.post(f"{url}:cancel", json={"reason": "too late"})

    assert started.json()["status"] == "in_progress"
    assert (completed.json()["status"], completed.json()["result"]) == ("completed", "done")
    assert cancelled.status_code == 409


async def test_a_failed_task_is_tried_again(client: httpx.AsyncClient) -> None:
    url = (await create(client, assignee="user_of_the_tests")).headers["location"]
    await client.post(f"{url}:start")

    failed = await client.post(f"{url}:fail", json={"error": "no quota"})
    again = await client.post(f"{url}:retry")

    assert (failed.json()["status"], failed.json()["error"]) == ("failed", "no quota")
    assert again.json()["status"] == "pending"


async def test_a_hold_blocks_and_lets_go(client: httpx.AsyncClient) -> None:
    url = (await create(client)).headers["location"]
    hold = {"kind": "manual", "ref": "waits for the vendor"}

    blocked = await client.post(f"{url}:block", json=hold)
    free = await client.post(f"{url}:unblock", json=hold)

    assert blocked.json()["blocked_by"] == [hold]
    assert (blocked.json()["status"], free.json()["status"]) == ("blocked", "pending")


async def test_null_clears_a_time_and_absence_does_not(client: httpx.AsyncClient) -> None:
    made = await create(client, due_at="2026-03-01T12:00:00Z")
    url = made.headers["location"]

    kept = await client.patch(url, json={"progress": 0.5}, headers=at(made.json()["version"]))
    cleared = await client.patch(url, json={"due_at": None}, headers=at(kept.json()["version"]))

    assert kept.json()["due_at"] == "2026-03-01T12:00:00.000Z"
    assert (cleared.json()["due_at"], cleared.json()["progress"]) == (None, 0.5)


async def test_relations_have_their_inverse_and_no_ring(client: httpx.AsyncClient) -> None:
    first, second = [(await create(client)).json()["task_id"] for _ in range(2)]
    related = await client.post(
        f"{TASKS}/{first}/relations", json={"kind": "precedes", "other_id": second}, headers=key()
    )

    ring = await client.post(
        f"{TASKS}/{second}/relations", json={"kind": "precedes", "other_id": first}, headers=key()
    )

    assert related.status_code == 201
    inverse = (await client.get(f"{TASKS}/{second}/relations")).json()["relations"]
    assert inverse == [{"task_id": second, "kind": "follows", "other_id": first}]
    assert ring.status_code == 409
    assert {first, second} <= set(ring.json()["cycle"])
    url = f"{TASKS}/{first}/relations/precedes/{second}"
    assert (await client.delete(url)).status_code == 204
    assert (await client.delete(url)).status_code == 404


async def test_a_deleted_task_is_gone(client: httpx.AsyncClient) -> None:
    made = await create(client)
    url = made.headers["location"]

    unguarded = await client.delete(url)
    stale = await client.delete(url, headers=at(99))
    deleted = await client.delete(url, headers=at(made.json()["version"]))

    assert [unguarded.status_code, stale.status_code, deleted.status_code] == [428, 412, 204]
    assert (await client.get(url)).status_code == 404
    assert (await client.get(TASKS)).json()["items"] == []
