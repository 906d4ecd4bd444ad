"""The outermost layer: load, ids, failures, clients that go away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from actors import clock, metrics
from actors.errors import DependencyUnavailable, Overloaded
from actors.identity.messages import ReachDatabase
from actors.runtime.local import LocalPool
from actors.runtime.message import Handlers
from actors.task.messages import CancelTask, GetTask, Task
from serve_app.http import create_app
from tests.fixtures.gateway import app_over, client_of, settings, token_of, whole_app

TASK = "/api/v1/tasks/task_01k0000000000000000000000a"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return whole_app()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


class Gate:
    """Handlers of the Task sage that wait until they are let through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = asyncio.Event()
        self.done = 0

    def handlers(self) -> Handlers:
        return {GetTask: self.wait, CancelTask: self.wait}

    async def wait(self, _: GetTask | CancelTask) -> Task:
        self.entered.set()
        await self.open.wait()
        self.done += 1
        raise DependencyUnavailable("postgres")


async def test_every_answer_says_that_it_is_ours(client: httpx.AsyncClient) -> None:
    for url in ("/healthz", "/api/v1/noop", "/nowhere", TASK, "/metrics"):
        answer = await client.get(url)

        assert answer.headers["guild-version"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-correlation-id"].startswith("cor_")


async def test_what_the_server_above_us_echoes_is_not_said_twice() -> None:
    app = create_app(settings(), {}.__getitem__, server_echoes_id=True)  # type: ignore[arg-type]
    async with client_of(app) as client:
        given = await client.get("/healthz", headers={"X-Request-Id": "one"})
        forged = await client.get("/healthz", headers={"X-Request-Id": "o n e"})

    assert "x-request-id" not in given.headers
    assert forged.headers["x-request-id"].startswith("req_")


async def test_a_failure_nobody_expected_is_a_bare_500(app: FastAPI) -> None:
    def broken(name: str) -> LocalPool:
        raise RuntimeError(f"the inside of {name}")

    async with client_of(whole_app_with(broken)) as client:
        answer = await client.get(TASK)

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "inside" not in answer.text
    assert answer.headers["guild-version"]


def whole_app_with(pool: Any) -> FastAPI:
    app = app_over({})
    app.state.gateway.pool = pool
    return app


async def test_more_requests_than_may_be_in_flight_get_503_and_health_still_answers() -> None:
    gate = Gate()
    app = app_over({"task": LocalPool(gate.handlers())}, settings(max_in_flight=2, retry_after_s=3))
    async with client_of(app) as client:
        waiting = [asyncio.create_task(client.get(TASK)) for _ in range(2)]
        await gate.entered.wait()
        await asyncio.sleep(0)

        refused = await client.get(TASK)
        health = await client.get("/healthz")
        gate.open.set()
        answered = await asyncio.gather(*waiting)
        after = await client.get("/api/v1/noop")

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
    assert refused.json()["type"].endswith(":overloaded")
    assert health.status_code == 200
    assert [answer.status_code for answer in answered] == [503, 503]
    assert after.status_code == 200


async def test_a_client_that_goes_away_cancels_its_wait_and_not_its_command() -> None:
    gate = Gate()
    app = app_over({"task": LocalPool(gate.handlers())})
    async with client_of(app) as client:
        posting = asyncio.create_task(client.post(f"{TASK}:cancel", json={"reason": "a"}))
        await gate.entered.wait()

        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting
        running = list(app.state.gateway.running)
        gate.open.set()
        await asyncio.gather(*running)

    assert gate.done == 1
    assert not app.state.gateway.running


async def test_a_full_sage_is_503_with_its_own_retry_after() -> None:
    async def full(_: GetTask) -> Task:
        raise Overloaded(4.2, "the task pool")

    async with client_of(app_over({"task": LocalPool({GetTask: full})})) as client:
        answer = await client.get(TASK)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_sage_is_asked_under_the_ids_of_the_request() -> None:
    asked: list[GetTask] = []

    async def note(query: GetTask) -> Task:
        asked.append(query)
        raise DependencyUnavailable("postgres")

    async with client_of(app_over({"task": LocalPool({GetTask: note})})) as client:
        await client.get(TASK, headers={"X-Request-Id": "one", "X-Correlation-Id": "chain"})

    context = asked[0].context
    assert (context.causation_id, context.correlation_id) == ("one", "chain")
    assert context.caller.principal_id == "user_of_the_tests"


async def test_two_callers_interleaved_get_their_own_verdicts(app: FastAPI) -> None:
    guilds = [clock.new_id("guild") for _ in range(2)]
    tokens = [token_of(app, guild=guild, principal=guild) for guild in guilds]  # type: ignore[arg-type]
    bad = "x" + tokens[0][1:]
    async with client_of(app) as client:
        answers = await asyncio.gather(
            *(
                client.get(TASK, headers={"Authorization": f"Bearer {token}"})
                for _ in range(50)
                for token in (*tokens, bad)
            )
        )

    assert [answer.status_code for answer in answers] == [404, 404, 401] * 50


async def test_readiness_asks_every_pool_and_postgres_through_one(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "parts": dict.fromkeys(
            ("knowledge", "task", "incident", "rag", "identity", "postgres"), True
        ),
    }


async def test_without_postgres_we_are_not_ready_and_say_what_is_missing() -> None:
    async def away(_: ReachDatabase) -> None:
        raise DependencyUnavailable("postgres")

    pools = {name: LocalPool({}) for name in ("knowledge", "task", "incident", "rag")}
    app = app_over({**pools, "identity": LocalPool({ReachDatabase: away})})
    async with client_of(app) as client:
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(5)))

    assert {answer.status_code for answer in answers} == {503}
    parts = answers[0].json()["parts"]
    assert [name for name, answers in parts.items() if not answers] == ["postgres"]


async def test_a_ping_goes_to_the_sage_that_is_named(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/ping/task")).json()["process_id"] > 0
    assert (await client.get("/api/v1/ping/identity")).status_code == 404


async def test_metrics_are_those_of_all_processes() -> None:
    async def samples() -> list[metrics.Sample]:
        name = "elders_guild_leader_epoch"
        return [metrics.Sample("active_connections", "active_connections", (), 41.0), *others(name)]

    def others(name: str) -> list[metrics.Sample]:
        return [metrics.Sample(name, name, (("a", "b"),), 1.0)]

    app = app_over({})
    app.state.gateway.samples = samples
    async with client_of(app) as client:
        answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "active_connections 41.0" in answer.text


async def test_requests_are_counted_by_template_never_by_address(
    client: httpx.AsyncClient,
) -> None:
    await client.get(TASK)
    await client.request("BREW", "/teapot")

    text = (await client.get("/metrics")).text

    assert 'method="GET",route="/api/v1/tasks/{task_id}",status="404"' in text
    assert 'method="OTHER",route="unmatched"' in text
    assert "teapot" not in text
