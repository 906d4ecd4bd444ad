"""Users and API clients over HTTP, for administrators."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI

from actors import clock
from actors.identity.sage import IdentitySage
from actors.identity.sessions.sage import SessionSage
from actors.runtime.local import LocalPool
from actors.runtime.message import Permission
from tests.fixtures.gateway import (
    GUILD,
    OTHER_GUILD,
    HashLedger,
    app_over,
    at,
    client_of,
    key,
    quick_passwords,
    settings,
)
from tests.fixtures.memory_identity import MemoryIdentityStore
from tests.fixtures.memory_sessions import MemorySessionStore
from tests.fixtures.oauth import REDIRECT, grant, log_in, people, visitor, works

USERS = "/api/v1/users"
CLIENTS = "/api/v1/clients"


@pytest.fixture
async def app() -> FastAPI:
    config = settings()
    store = MemoryIdentityStore()
    kept = MemorySessionStore(store)
    handlers = {
        **IdentitySage(store, quick_passwords(config)).handlers(),
        **SessionSage(kept, kept, store, config.identity).handlers(),
    }
    pools = {"identity": LocalPool(handlers, HashLedger(store))}
    await people(pools["identity"])
    await people(pools["identity"], OTHER_GUILD, "-there")
    return app_over(pools)


@pytest.fixture
async def admin(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, principal="user_admin") as client:
        yield client


async def look(app: FastAPI) -> None:
    gateway = app.state.gateway
    await gateway.tokens.revocations.look(gateway.pool)


async def made(client: httpx.AsyncClient, url: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(url, json=body, headers=key())
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def signs_in(app: FastAPI, login: str, password: str) -> int:
    async with visitor(app) as client:
        answer = await client.post("/oauth/login", json={"login": login, "password": password})
    return answer.status_code


async def test_a_new_users_password_is_shown_once_and_signs_in(
    app: FastAPI, admin: httpx.AsyncClient
) -> None:
    same = key()
    body = {"login": "ann", "role": "user"}

    first = await admin.post(USERS, json=body, headers=same)
    again = await admin.post(USERS, json=body, headers=same)
    other = await admin.post(USERS, json={**body, "login": "ben"}, headers=same)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.headers["cache-control"] == "no-store"
    assert first.headers["location"] == f"{USERS}/{first.json()['user_id']}"
    assert again.json() == {**first.json(), "password": None}
    assert await signs_in(app, "ann", first.json()["password"]) == 200


async def test_users_are_listed_page_by_page_without_those_of_another_guild(
    admin: httpx.AsyncClient,
) -> None:
    logins = {"elder"}
    for number in range(5):
        logins.add((await made(admin, USERS, login=f"user-{number}"))["login"])
    seen: list[str] = []
    url = f"{USERS}?limit=2"

    for _ in range(10):
        page = await admin.get(url)
        seen += [one["login"] for one in page.json()["items"]]
        if "next" not in page.links:
            break
        url = page.links["next"]["url"]

    assert sorted(seen) == sorted(logins)
    assert "password" not in page.text


async def test_a_change_of_role_needs_the_version_and_ends_what_the_user_had(
    app: FastAPI, admin: httpx.AsyncClient
) -> None:
    user = await made(admin, USERS, login="ann", role="user")
    one = f"{USERS}/{user['user_id']}"
    async with visitor(app) as client:
        answer = await client.post(
            "/oauth/login", json={"login": "ann", "password": user["password"]}
        )
        tokens = answer.json()

        missing = await admin.patch(one, json={"role": "elder"})
        stale = await admin.patch(one, json={"role": "elder"}, headers=at(7))
        changed = await admin.patch(one, json={"role": "elder"}, headers=at(1))
        await look(app)

        assert (missing.status_code, stale.status_code, changed.status_code) == (428, 412, 200)
        assert (changed.json()["role"], changed.headers["etag"]) == ("elder", '"2"')
        assert not await works(client, tokens)
        refreshed = await grant(client, "refresh_token", refresh_token=tokens["refresh_token"])
        assert refreshed.status_code == 400


async def test_a_disabled_user_is_out_until_enabled_and_old_tokens_stay_refused(
    app: FastAPI, admin: httpx.AsyncClient
) -> None:
    async with visitor(app) as client:
        tokens = await log_in(client)
        users = (await admin.get(USERS)).json()["items"]
        one = f"{USERS}/{users[0]['user_id']}"

        out = await admin.post(f"{one}:disable")
        repeat = await admin.post(f"{one}:disable")
        await look(app)
        refused = await client.post(
            "/oauth/login", json={"login": "elder", "password": "a phrase that nobody guesses"}
        )
        still = await works(client, tokens)
        back = await admin.post(f"{one}:enable")
        await look(app)

        assert (out.json()["disabled"], out.json()["version"]) == (True, repeat.json()["version"])
        assert (refused.status_code, still, back.json()["disabled"]) == (401, False, False)
        assert not await works(client, tokens)
        assert await works(client, await log_in(client))


async def test_nobody_disables_themselves(app: FastAPI) -> None:
    async with client_of(app) as client:
        users = (await client.get(USERS)).json()["items"]
    me = users[0]["user_id"]

    async with client_of(app, principal=me) as client:
        answer = await client.post(f"{USERS}/{me}:disable")

    assert answer.status_code == 422


async def test_a_new_clients_secret_is_shown_once_and_gets_tokens(
    app: FastAPI, admin: httpx.AsyncClient
) -> None:
    same = key()
    body = {"client_id": "prometheus", "scopes": ["write", "sage.incident"]}

    first = await admin.post(CLIENTS, json=body, headers=same)
    again = await admin.post(CLIENTS, json=body, headers=same)

    assert first.status_code == 201, first.text
    assert again.json() == {**first.json(), "client_secret": None}
    async with visitor(app) as client:
        known = {"client_id": "prometheus", "client_secret": first.json()["client_secret"]}
        token = (await grant(client, "client_credentials", **known)).json()
    assert token["scope"] == "sage.incident write"
    assert "refresh_token" not in token


async def test_a_rotated_secret_replaces_the_old_one_and_cuts_its_tokens(
    app: FastAPI, admin: httpx.AsyncClient
) -> None:
    robot = await made(admin, CLIENTS, client_id="backup", scopes=["read"])
    old = {"client_id": "backup", "client_secret": robot["client_secret"]}
    async with visitor(app) as client:
        before = (await grant(client, "client_credentials", **old)).json()

        answer = await admin.post(f"{CLIENTS}/backup:rotate-secret", headers=key())
        await look(app)

        new = {"client_id": "backup", "client_secret": answer.json()["client_secret"]}
        after = await grant(client, "client_credentials", **new)
        assert (await grant(client, "client_credentials", **old)).status_code == 401
        assert (after.status_code, await works(client, after.json())) == (200, True)
        assert not await works(client, before)


async def test_a_disabled_client_is_out_with_the_sessions_that_it_holds(
    app: FastAPI, admin: httpx.AsyncClient
) -> None:
    async with visitor(app) as client:
        known = {"client_id": "robot", "client_secret": "s" * 43}
        before = (await grant(client, "client_credentials", **known)).json()

        await admin.post(f"{CLIENTS}/robot:disable")
        await look(app)

        assert (await grant(client, "client_credentials", **known)).status_code == 401
        assert not await works(client, before)
    assert (await admin.get(f"{CLIENTS}/robot")).json()["disabled"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"client_id": "x", "scopes": []},
        {"client_id": "x", "scopes": ["root"]},
        {"client_id": "X", "scopes": ["read"]},
        {"client_id": "_guild", "scopes": ["read"]},
        {"client_id": "x", "scopes": ["read"], "public": True},
        {"client_id": "x", "scopes": ["read"], "secret": "s" * 43},
        {"client_id": "x", "scopes": ["read"], "guild_id": "guild_1"},
        {"client_id": "robot", "scopes": ["read"]},
        {"client_id": "robot-there", "scopes": ["read"]},
        *(
            {"client_id": "x", "scopes": ["read"], "redirect_uris": [uri]}
            for uri in (
                "http://client.example/",
                "https://client.example/#x",
                "https://user@client.example/",
                "https://client.example/*\\",
                "javascript:alert(1)",
                "data:text/html,x",
                "//client.example",
                "https://client.example/" + "x" * 600,
            )
        ),
    ],
)
async def test_a_client_that_cannot_be_is_refused(
    admin: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await admin.post(CLIENTS, json=body, headers=key())

    assert answer.status_code == 422


@pytest.mark.parametrize(
    "uri", [REDIRECT, "http://127.0.0.1:8400/cb", "http://[::1]/cb", "org.example.app:/cb"]
)
async def test_addresses_of_web_host_and_own_scheme_can_be_registered(
    admin: httpx.AsyncClient, uri: str
) -> None:
    answer = await made(
        admin, CLIENTS, client_id="x", scopes=["read"], redirect_uris=[uri], public=True
    )

    assert (answer["redirect_uris"], answer["client_secret"]) == ([uri], None)


async def test_another_guilds_users_and_clients_are_not_found(
    app: FastAPI, admin: httpx.AsyncClient
) -> None:
    async with client_of(app, guild=OTHER_GUILD) as there:
        theirs = (await there.get(USERS)).json()["items"][0]["user_id"]
    nobody = clock.new_id("user")

    for url in (f"{USERS}/{theirs}", f"{USERS}/{nobody}", f"{CLIENTS}/robot-there", f"{USERS}/x"):
        assert (await admin.get(url)).status_code == 404
        assert (await admin.post(f"{url}:disable")).status_code == 404
    assert (await admin.get(f"{CLIENTS}/{theirs}")).status_code == 404


async def test_two_callers_get_their_own_verdicts_however_they_interleave(app: FastAPI) -> None:
    elders = frozenset(Permission) - {Permission.ADMIN}
    async with client_of(app) as admin, client_of(app, elders) as elder:
        answers = []
        for _ in range(20):
            answers += await asyncio.gather(
                *(client.get(f"{USERS}?limit=1") for _ in range(25) for client in (admin, elder))
            )

    assert [answer.status_code for answer in answers] == [200, 403] * 500


def test_the_document_keeps_the_parameters_of_guarded_routes(app: FastAPI) -> None:
    operation = orjson.loads(app.state.openapi)["paths"][USERS]["get"]

    assert {one["name"] for one in operation["parameters"]} == {"limit", "cursor"}


async def test_an_elder_may_do_none_of_it(app: FastAPI) -> None:
    everything = frozenset(Permission) - {Permission.ADMIN}
    async with client_of(app, everything, GUILD) as elder:
        assert (await elder.get(USERS)).status_code == 403
        assert (await elder.post(CLIENTS, json={}, headers=key())).status_code == 403
