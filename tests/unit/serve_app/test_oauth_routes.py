"""How a token is got."""

import asyncio
import base64
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from actors import clock
from actors.identity.messages import CreateClient, CreateUser, Role
from actors.runtime.message import Permission
from actors.runtime.pool import Asker
from serve_app.problems import Problem
from serve_app.signing_in import credentials
from tests.fixtures.gateway import GUILD, app_over, sages, settings
from tests.fixtures.identity_contract import context

PASSWORD = "correct horse battery"
SECRET = "s+/" * 15
INVALID_CLIENT = {
    "error": "invalid_client",
    "error_description": "client id or secret is wrong or missing",
}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    pools = sages(settings())
    asyncio.run(_people(pools["identity"]))
    return app_over(pools)


async def _people(identity: Asker) -> None:
    await identity.ask(
        CreateUser(
            context=context(GUILD),
            command_id=clock.new_id("cmd"),
            login="elder",
            password=PASSWORD,
            role=Role.ELDER,
        )
    )
    await identity.ask(
        CreateClient(
            context=context(GUILD),
            command_id=clock.new_id("cmd"),
            client_id="alertmanager",
            secret=SECRET,
            scopes=frozenset({Permission.WRITE, Permission.INCIDENT}),
        )
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        yield client


def basic(client_id: str, secret: str) -> dict[str, str]:
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def form(**fields: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", **fields}


async def test_a_person_signs_in_and_uses_the_token(client: httpx.AsyncClient) -> None:
    answer = await client.post("/oauth/login", json={"login": "elder", "password": PASSWORD})

    assert answer.status_code == 200, answer.text
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 900)
    assert "admin" not in token["scope"].split()
    assert answer.headers["cache-control"] == "no-store"
    used = await client.get(
        "/api/v1/tasks", headers={"Authorization": f"Bearer {token['access_token']}"}
    )
    assert used.status_code == 200


@pytest.mark.parametrize(
    ("login", "password"),
    [("elder", "wrong"), ("nobody", PASSWORD), ("alertmanager", SECRET), ("", "")],
)
async def test_a_wrong_login_is_401_whatever_is_wrong(
    client: httpx.AsyncClient, login: str, password: str
) -> None:
    answer = await client.post("/oauth/login", json={"login": login, "password": password})

    assert answer.status_code == 401
    assert answer.json() == {
        "error": "invalid_grant",
        "error_description": "login or password is wrong",
    }


async def test_a_client_gets_a_token_by_header_or_by_form(client: httpx.AsyncClient) -> None:
    by_header = await client.post(
        "/oauth/token", data=form(), headers=basic("alertmanager", SECRET.replace("+", "%2B"))
    )
    by_form = await client.post(
        "/oauth/token", data=form(client_id="alertmanager", client_secret=SECRET)
    )

    assert (by_header.status_code, by_form.status_code) == (200, 200), by_header.text
    assert by_header.json()["scope"] == "sage.incident write"


async def test_a_client_may_ask_for_less_and_not_for_more(client: httpx.AsyncClient) -> None:
    me = {"client_id": "alertmanager", "client_secret": SECRET}

    less = await client.post("/oauth/token", data=form(scope="write", **me))
    more = await client.post("/oauth/token", data=form(scope="write admin", **me))

    assert less.json()["scope"] == "write"
    assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {}),
        ({}, {"client_id": "alertmanager"}),
        ({}, {"client_id": "alertmanager", "client_secret": "wrong"}),
        ({}, {"client_id": "nobody", "client_secret": SECRET}),
        ({}, {"client_id": "elder", "client_secret": PASSWORD}),
        (basic("alertmanager", "wrong"), {}),
        (basic("alertmanager", SECRET), {"client_secret": SECRET}),
        ({"Authorization": "Basic !!"}, {}),
        ({"Authorization": "Basic /w=="}, {}),
        ({"Authorization": "Basic YQ=="}, {}),
        ({"Authorization": "Bearer YQ=="}, {}),
    ],
)
async def test_a_wrong_client_is_401_whatever_is_wrong(
    client: httpx.AsyncClient, headers: dict[str, str], fields: dict[str, str]
) -> None:
    answer = await client.post("/oauth/token", data=form(**fields), headers=headers)

    assert answer.status_code == 401
    assert answer.json() == INVALID_CLIENT
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("pair", ["%00:x", "x:%00", "\x00:x", "%ED%A0%80:x", "x:%ED%A0%80"])
def test_what_cannot_be_kept_is_refused_after_it_was_decoded(pair: str) -> None:
    encoded = base64.b64encode(pair.encode())
    headers = [(b"authorization", b"Basic " + encoded)]

    with pytest.raises(Problem) as refused:
        credentials(Request({"type": "http", "headers": headers}), {})

    assert (refused.value.status, refused.value.code) == (401, "invalid_client")


@pytest.mark.parametrize("grant", ["password", "implicit", "", "PASSWORD", "Refresh_token"])
async def test_no_other_grant_is_supported(client: httpx.AsyncClient, grant: str) -> None:
    fields = {"grant_type": grant, "username": "elder", "password": PASSWORD}
    answer = await client.post("/oauth/token", data=fields)

    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"grant_type=client_credentials&grant_type=client_credentials",
        b"grant_type=client_credentials&client_id=%ff",
        b"grant_type=client_credentials&client_id=%00",
        b"\xff=1",
        b"&".join(b"a%d=1" % number for number in range(50)),
        b"x" * 20_000,
    ],
)
async def test_a_form_that_is_none_is_invalid_request(
    client: httpx.AsyncClient, body: bytes
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/oauth/token", content=body, headers=headers)

    assert answer.status_code in (400, 413)
    assert answer.json()["error"] == "invalid_request"


async def test_json_is_no_form(client: httpx.AsyncClient) -> None:
    answer = await client.post("/oauth/token", json={"grant_type": "client_credentials"})

    assert (answer.status_code, answer.json()["error"]) == (415, "invalid_request")
