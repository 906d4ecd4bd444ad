"""Every set of permissions on every route: the verdict is the declared table's."""

import itertools
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from actors.runtime.message import Permission
from serve_app.access import ACCESS
from tests.fixtures.gateway import app_over, token_of

PLAIN = [permission for permission in Permission if permission is not Permission.ADMIN]
SETS = [
    frozenset(chosen)
    for size in range(len(PLAIN) + 1)
    for chosen in itertools.combinations(PLAIN, size)
]
GUARDED = [route for route, rule in ACCESS.items() if not rule.public]
SOME_ID = "task_01k0000000000000000000000a"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return app_over({})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        yield client


async def status(app: FastAPI, method: str, path: str, token: str | None) -> int:
    """The answer to a request that is wrong in every other way, so that no sage is asked.

    Straight to the application: some 7,000 requests are made here.
    """
    headers = [(b"if-match", b'"none"'), (b"content-type", b"text/plain")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    url = re.sub(r"{\w+}", SOME_ID, path)
    scope = {
        "type": "http",
        "method": method,
        "path": url,
        "raw_path": url.encode(),
        "query_string": b"",
        "headers": headers,
    }
    started: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            started.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]  # the same protocol
    assert b"guild-version" in dict(started[0]["headers"])
    code: int = started[0]["status"]
    return code


@pytest.fixture(scope="module")
def tokens(app: FastAPI) -> dict[frozenset[Permission], str]:
    return {permissions: token_of(app, permissions) for permissions in SETS}


def test_there_are_128_sets() -> None:
    assert len(set(SETS)) == 128


@pytest.mark.parametrize("route", GUARDED)
async def test_only_the_declared_permissions_get_past_the_door(
    app: FastAPI, tokens: dict[frozenset[Permission], str], route: str
) -> None:
    method, path = route.split(" ")
    needs = ACCESS[route].needs

    for permissions, token in tokens.items():
        answered = await status(app, method, path, token)

        assert (answered == 403) is not (needs <= permissions), permissions


@pytest.mark.parametrize("route", GUARDED)
async def test_an_admin_may_do_everything_and_nobody_without_a_token_anything(
    app: FastAPI, route: str
) -> None:
    method, path = route.split(" ")

    assert await status(app, method, path, token_of(app, {Permission.ADMIN})) not in (401, 403)
    assert await status(app, method, path, None) == 401


@pytest.mark.parametrize(
    "url",
    [
        "/api/v1/noop/",
        "/API/v1/noop",
        "//api/v1/noop",
        "/api//v1/noop",
        "/api/v1%2fnoop",
        "/api/v1/noop%2e",
        "/api/v2/noop",
        "/metrics/",
    ],
)
async def test_a_variant_of_a_route_is_no_route(
    app: FastAPI, client: httpx.AsyncClient, url: str
) -> None:
    answer = await client.get(url, headers={"Authorization": f"Bearer {token_of(app)}"})

    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "CONNECT", "BREW"])
async def test_a_method_that_is_not_declared_is_405(
    app: FastAPI, client: httpx.AsyncClient, method: str
) -> None:
    headers = {"Authorization": f"Bearer {token_of(app)}", "X-HTTP-Method-Override": "GET"}
    answer = await client.request(method, "/api/v1/noop", headers=headers)

    assert answer.status_code == 405
