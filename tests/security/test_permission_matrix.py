"""Every set of permissions on every route: the verdict is the declared table's."""

import itertools
import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from actors.runtime.message import Permission
from serve_app.access import ACCESS
from serve_app.http import routes
from serve_app.route import GuildRoute
from tests.fixtures.asgi import Answered, send, unheard
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
def app() -> Iterator[FastAPI]:
    with unheard():
        yield app_over({})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        yield client


async def answer(
    app: FastAPI, method: str, path: str, token: str | None, *more: tuple[bytes, bytes]
) -> Answered:
    """The answer to a request that is wrong in every other way, so that no sage is asked.

    Straight to the application: over 10,000 requests are made here.
    """
    headers = [(b"if-match", b'"none"'), (b"content-type", b"text/plain"), *more]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    url = re.sub(r"{\w+}", SOME_ID, path)
    answered = await send(app, method, url.encode(), headers=headers, body=None)
    assert answered.header("guild-version")
    return answered


async def status(app: FastAPI, method: str, path: str, token: str | None) -> int:
    return (await answer(app, method, path, token)).status


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


def test_no_route_is_missing_from_the_table(app: FastAPI) -> None:
    assert routes(app).keys() == ACCESS.keys()
    assert all(isinstance(route, GuildRoute) for route in app.router.routes)


SAGES = {Permission.KNOWLEDGE, Permission.TASK, Permission.INCIDENT, Permission.RAG}
OF_A_SAGE = [
    route
    for route in GUARDED
    if ACCESS[route].needs & SAGES and ACCESS[route].needs & {Permission.WRITE, Permission.DELETE}
]


@pytest.mark.parametrize("route", OF_A_SAGE)
async def test_writing_without_the_sages_permission_is_403(app: FastAPI, route: str) -> None:
    method, path = route.split(" ")
    (sage,) = ACCESS[route].needs & SAGES

    answered = await answer(app, method, path, token_of(app, set(PLAIN) - {sage}))

    assert answered.status == 403
    assert answered.header("content-type") == "application/problem+json"


def variants(path: str) -> list[str]:
    """Spellings that a proxy, or another server, might take for this path."""
    head, tail = path[: path.rindex("/")], path[path.rindex("/") + 1 :]
    return [
        f"{path}/",
        f"/{path}",
        path.replace("/", "//", 2),
        f"{head}%2f{tail}",
        f"{head}%2F{tail}",
        f"{head}%5c{tail}",
        f"{head}\\{tail}",
        f"{head}/./{tail}",
        f"{head}/x/../{tail}",
        f"{head}/%2e%2e/{tail}",
        f"{path};a=b",
        f"{path}%00",
        f"{path}%20",
        f"{path}.json",
        f"{path}?".replace("?", "%3f"),
        path.upper(),
        path.replace("/api/", "/Api/", 1) if "/api/" in path else f"{path}X",
    ]


@pytest.mark.parametrize("route", GUARDED)
async def test_another_spelling_of_a_route_opens_nothing(app: FastAPI, route: str) -> None:
    """Nobody gets in, and with nothing allowed nobody learns more than a refusal."""
    method, path = route.split(" ")
    nothing = token_of(app, ())

    for variant in variants(path):
        for token in (None, nothing):
            answered = await status(app, method, variant, token)

            assert answered in (400, 401, 403, 404, 405), variant


@pytest.mark.parametrize("route", GUARDED)
async def test_no_header_makes_a_method_or_a_path_another(app: FastAPI, route: str) -> None:
    """A request without the permissions stays forbidden, whatever it says that it really is."""
    method, path = route.split(" ")
    nothing = token_of(app, ())

    for name in (b"x-http-method-override", b"x-http-method", b"x-method-override"):
        assert (await answer(app, method, path, nothing, (name, b"GET"))).status == 403
    for name in (b"x-original-url", b"x-rewrite-url", b"x-forwarded-prefix"):
        assert (await answer(app, method, path, nothing, (name, b"/healthz"))).status == 403


@pytest.mark.parametrize("path", sorted({route.split(" ")[1] for route in GUARDED}))
async def test_a_method_that_a_path_has_not_is_405_for_everybody(app: FastAPI, path: str) -> None:
    """Also HEAD and OPTIONS. The one rule of a path does not leak into another of its methods."""
    declared = {
        method
        for method, template in (route.split(" ") for route in ACCESS)
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)
    }
    admin = token_of(app)

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        if method in declared:
            continue
        answered = await answer(app, method, path, admin, (b"x-http-method-override", b"GET"))

        assert answered.status == 405, method
        if method not in ("TRACE", "BREW"):
            assert declared <= set(answered.header("allow").split(", ")), method


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
