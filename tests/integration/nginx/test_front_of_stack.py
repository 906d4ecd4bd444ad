"""nginx before the whole stack: what Serve's HAProxy and the gateway make of what it passes on."""

import asyncio
import uuid
from collections.abc import Iterator

import httpx
import pytest

from cluster.process import free_ports
from cluster.state import Stack
from tests.fixtures.require import require_service
from tests.integration.nginx.nodes import Front, front, front_files, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

_EVENTS = "/api/v1/events"
_CLOUD_EVENT = {"Content-Type": "application/cloudevents+json"}


@pytest.fixture(scope="module")
def nginx(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    program = require_service("nginx")
    [port] = free_ports(1)
    http = int(stack.api_url.rpartition(":")[2])
    config = front_files(tmp_path_factory.mktemp("nginx") / "guild", port=port, nodes=[http])
    with front(program, config, port=port) as running:
        yield running


@pytest.fixture
def client(nginx: Front) -> Iterator[httpx.Client]:
    with nginx.client() as client:
        yield client


def test_the_guild_answers_through_nginx_in_its_own_words(client: httpx.Client) -> None:
    until(lambda: client.get("/readyz").status_code == 200)  # a member may just have been killed
    ready = client.get("/readyz", headers={"X-Request-Id": "mine"})
    nobody = client.get("/api/v1/incidents")
    nothing = client.get("/api/v1/nothing-of-this-name")

    assert ready.status_code == 200
    assert ready.headers.get_list("x-request-id") == ["mine"]
    assert nobody.status_code == 401
    assert nobody.json()["request_id"] == nobody.headers["x-request-id"]
    assert nothing.headers["guild-version"]
    assert client.get("/metrics").status_code == 404
    assert client.get("/-/routes").status_code == 404


@pytest.mark.parametrize("more", [0, 300, 600, 800])
def test_headers_that_nginx_takes_are_not_too_large_for_haproxy(
    client: httpx.Client, more: int
) -> None:
    headers = {"X-A": "a" * 7_100, "X-B": "b" * 7_100, "X-C": "c" * more}

    answer = client.get("/healthz", headers=headers)

    assert answer.status_code in (200, 431)
    if answer.status_code == 200:
        assert answer.headers["guild-version"]


async def test_an_event_is_told_through_nginx_while_the_stream_is_open(
    stack: Stack, nginx: Front
) -> None:
    assert stack.admin is not None
    kind = f"custom.nginx.{uuid.uuid4().hex[:8]}"
    login = {"login": stack.admin.name, "password": stack.admin.secret}
    event = {"specversion": "1.0", "id": "1", "source": f"/{kind}", "type": kind, "data": {}}

    async with (
        asyncio.timeout(30),
        httpx.AsyncClient(base_url=nginx.url, verify=nginx.trust(), timeout=30) as client,
    ):
        token = (await client.post("/oauth/login", json=login)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        async with client.stream("GET", f"{_EVENTS}/stream", params={"types": kind}) as answer:
            lines = answer.aiter_lines()
            await anext(lines)  # it is open
            published = await client.post(_EVENTS, json=event, headers=_CLOUD_EVENT)
            told = ""
            while not told.startswith("data:"):
                told = await anext(lines)

    assert published.status_code == 201, published.text
    assert kind in told
