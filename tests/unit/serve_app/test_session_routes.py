"""Sessions over HTTP: renewed once for each token, ended, looked at."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest
from fastapi import FastAPI

from actors.settings import GuildSettings
from tests.fixtures.gateway import OTHER_GUILD, app_over, sages, settings
from tests.fixtures.oauth import PASSWORD, SECRET, agreed, grant, log_in, people, visitor, works

ROBOT = {"client_id": "robot", "client_secret": SECRET}
DASHBOARD = {"client_id": "dashboard", "client_secret": SECRET}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    pools = sages(settings())
    asyncio.run(people(pools["identity"]))
    asyncio.run(people(pools["identity"], OTHER_GUILD, "-there"))
    return app_over(pools)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with visitor(app) as client:
        yield client


async def look(app: FastAPI) -> None:
    """Reads what was revoked, as a replica does all the time."""
    gateway = app.state.gateway
    await gateway.tokens.revocations.look(gateway.pool)


async def test_signing_in_gives_a_refresh_token_that_is_good_once(
    client: httpx.AsyncClient,
) -> None:
    first = await log_in(client)

    second = await grant(client, "refresh_token", refresh_token=first["refresh_token"])
    again = await grant(client, "refresh_token", refresh_token=first["refresh_token"])
    third = await grant(client, "refresh_token", refresh_token=second.json()["refresh_token"])

    assert second.status_code == 200, second.text
    assert second.headers["cache-control"] == "no-store"
    assert second.json()["refresh_token"] != first["refresh_token"]
    for refused in (again, third):
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_the_theft_of_a_refresh_token_ends_the_access_tokens_too(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    first, other = await log_in(client), await log_in(client)
    second = await grant(client, "refresh_token", refresh_token=first["refresh_token"])
    assert await works(client, second.json())

    await grant(client, "refresh_token", refresh_token=first["refresh_token"])
    await look(app)

    assert [await works(client, one) for one in (first, second.json(), other)] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("bad", ["", "one", "guild_x.y", "{guild}.{secret}", "a.b.c"])
async def test_what_is_no_refresh_token_is_refused(client: httpx.AsyncClient, bad: str) -> None:
    text = bad.format(guild=OTHER_GUILD, secret="x" * 43)

    answer = await grant(client, "refresh_token", refresh_token=text)

    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")


async def test_a_refresh_token_does_not_work_in_another_guild_or_for_a_client(
    client: httpx.AsyncClient,
) -> None:
    token = (await log_in(client))["refresh_token"]
    moved = f"{OTHER_GUILD}.{token.partition('.')[2]}"

    elsewhere = await grant(client, "refresh_token", refresh_token=moved)
    clients = await grant(client, "refresh_token", refresh_token=token, **DASHBOARD)
    unknown = await grant(client, "refresh_token", refresh_token=token, client_id="nobody")

    assert (elsewhere.status_code, clients.status_code, unknown.status_code) == (400, 400, 401)
    assert (await grant(client, "refresh_token", refresh_token=token)).status_code == 200


async def test_signing_out_ends_the_session_and_all_its_tokens(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    tokens = await log_in(client)

    answer = await client.post("/oauth/revoke", data={"token": tokens["refresh_token"]})
    again = await client.post("/oauth/revoke", data={"token": tokens["refresh_token"]})
    await look(app)

    assert (answer.status_code, again.status_code) == (200, 200)
    assert not await works(client, tokens)
    late = await grant(client, "refresh_token", refresh_token=tokens["refresh_token"])
    assert late.status_code == 400


async def test_one_access_token_can_be_revoked_alone(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    tokens = await log_in(client)

    answer = await client.post("/oauth/revoke", data={"token": tokens["access_token"]})
    await look(app)

    assert answer.status_code == 200
    assert not await works(client, tokens)
    later = await grant(client, "refresh_token", refresh_token=tokens["refresh_token"])
    assert await works(client, later.json())


async def test_revoking_what_is_no_token_is_no_error_and_of_somebody_else_is_one(
    client: httpx.AsyncClient,
) -> None:
    tokens = await log_in(client)

    nothing = await client.post("/oauth/revoke", data={"token": "nonsense"})
    for token in (tokens["refresh_token"], tokens["access_token"]):
        stranger = await client.post("/oauth/revoke", data={"token": token, **DASHBOARD})
        assert (stranger.status_code, stranger.json()["error"]) == (400, "invalid_grant")

    assert (nothing.status_code, nothing.content) == (200, b"")
    assert await works(client, tokens)


async def test_a_client_learns_what_tokens_of_its_guild_are_good_for(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    tokens = await log_in(client)
    program = (await grant(client, "client_credentials", **ROBOT)).json()

    async def seen(token: str, **who: str) -> dict[str, object]:
        answer = await client.post("/oauth/introspect", data={"token": token, **who})
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    persons = await seen(tokens["access_token"], **ROBOT)
    programs = await seen(program["access_token"], **ROBOT)
    elsewhere = await seen(tokens["access_token"], client_id="robot-there", client_secret=SECRET)
    refresh = await seen(tokens["refresh_token"], **ROBOT)
    nonsense = await seen("nonsense", **ROBOT)
    await client.post("/oauth/revoke", data={"token": tokens["access_token"]})
    await look(app)

    assert persons["active"] is True
    assert persons["scope"] == tokens["scope"]
    assert (programs["sub"], programs["client_id"]) == ("robot", "robot")
    gone = await seen(tokens["access_token"], **ROBOT)
    assert [elsewhere, refresh, nonsense, gone] == [{"active": False}] * 4


@pytest.mark.parametrize(
    "who", [{}, {"client_id": "phone"}, {"client_id": "robot", "client_secret": "wrong"}]
)
async def test_only_clients_with_a_secret_may_look_at_tokens(
    client: httpx.AsyncClient, who: dict[str, str]
) -> None:
    answer = await client.post("/oauth/introspect", data={"token": "one", **who})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_client_of_people_gets_nothing_for_itself(client: httpx.AsyncClient) -> None:
    confidential = await grant(client, "client_credentials", **DASHBOARD)
    public = await grant(client, "client_credentials", client_id="phone", client_secret="")

    assert (confidential.status_code, confidential.json()["error"]) == (400, "unauthorized_client")
    assert public.status_code == 401


async def test_a_code_becomes_tokens_that_are_bound_to_their_client(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    sent = await client.post("/oauth/authorize", data=agreed("dashboard", scope="read"))
    code = httpx.URL(sent.headers["location"]).params["code"]
    fields = {"code": code, "redirect_uri": "https://client.example/callback"}

    without = await grant(client, "authorization_code", **fields, **DASHBOARD)
    unproved = await grant(
        client, "authorization_code", **fields, client_id="dashboard", code_verifier="v" * 43
    )
    tokens = await grant(
        client, "authorization_code", **fields, **DASHBOARD, code_verifier="v" * 43
    )
    refresh = {"refresh_token": tokens.json()["refresh_token"]}
    unsigned = await grant(client, "refresh_token", **refresh)
    signed = await grant(client, "refresh_token", **refresh, **DASHBOARD)
    again = await grant(client, "authorization_code", **fields, **DASHBOARD, code_verifier="v" * 43)
    await look(app)

    assert (without.status_code, unproved.status_code) == (400, 401)
    assert (tokens.status_code, tokens.json()["scope"]) == (200, "read"), tokens.text
    assert (unsigned.status_code, signed.status_code) == (400, 200)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert not await works(client, signed.json())


async def test_the_password_grant_is_a_switch_that_is_off() -> None:
    legacy = {"username": "elder", "password": PASSWORD}
    off, on = settings(), settings().model_copy(update={"allow_password_grant": True})
    outcomes = []
    for config in (off, on):
        pools = sages(config)
        await people(pools["identity"])
        async with visitor(app_over(pools, config)) as client:
            outcomes.append(await grant(client, "password", **legacy))

    assert not GuildSettings().allow_password_grant
    assert (outcomes[0].status_code, outcomes[0].json()["error"]) == (400, "unsupported_grant_type")
    assert (outcomes[1].status_code, "refresh_token" in outcomes[1].json()) == (200, True)


async def test_metadata_and_keys_are_enough_to_check_a_token(client: httpx.AsyncClient) -> None:
    server = (await client.get("/.well-known/oauth-authorization-server")).json()
    resource = (await client.get("/.well-known/oauth-protected-resource")).json()
    keys = jwt.PyJWKSet.from_dict((await client.get("/oauth/jwks.json")).json())
    token = (await log_in(client))["access_token"]

    claims = jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]],
        algorithms=["EdDSA"],
        issuer=server["issuer"],
        audience="elders-guild-api",
    )

    assert claims["guild"].startswith("guild_")
    assert resource["authorization_servers"] == [server["issuer"]]
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert "password" not in server["grant_types_supported"]
    assert server["jwks_uri"] == server["issuer"] + "/oauth/jwks.json"


async def test_nothing_private_is_in_the_keys(client: httpx.AsyncClient) -> None:
    (key,) = (await client.get("/oauth/jwks.json")).json()["keys"]

    assert key.keys() == {"kid", "alg", "use", "kty", "crv", "x"}
