"""The page where a person lets a program act for them."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from tests.fixtures.gateway import OTHER_GUILD, app_over, sages, settings
from tests.fixtures.oauth import (
    CHALLENGE,
    REDIRECT,
    VERIFIER,
    agreed,
    asked,
    grant,
    people,
    visitor,
    works,
)


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


def said(answer: httpx.Response) -> dict[str, str]:
    """What the client is told at its address."""
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    assert location.startswith(REDIRECT)
    return dict(httpx.URL(location).params)


async def test_the_page_has_no_script_and_may_send_to_the_client_only(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/oauth/authorize", params=asked(scope="read"))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self' https://client.example"
    )
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text
    assert "set-cookie" not in answer.headers


async def test_the_page_says_how_long_it_lasts_and_lets_passwords_be_filled_in(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/oauth/authorize", params=asked(scope="read"))

    assert "30 days at most" in answer.text
    assert "autocomplete" not in answer.text


async def test_the_form_of_the_page_leads_to_tokens(client: httpx.AsyncClient) -> None:
    page = await client.get("/oauth/authorize", params=asked(scope="read"))
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))

    sent = await client.post("/oauth/authorize", data={**agreed(), **hidden})

    told = said(sent)
    assert (told["state"], told["iss"]) == ("xyz", settings().gateway.issuer)
    tokens = await grant(
        client,
        "authorization_code",
        client_id="phone",
        code=told["code"],
        redirect_uri=REDIRECT,
        code_verifier=VERIFIER,
    )
    assert tokens.status_code == 200, tokens.text
    assert tokens.json()["scope"] == "read"
    assert await works(client, tokens.json())


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "nobody"},
        {"client_id": "robot"},
        {"client_id": "elder"},
        {"client_id": "<script>"},
        {"redirect_uri": REDIRECT + "/"},
        {"redirect_uri": REDIRECT + "?x=1"},
        {"redirect_uri": REDIRECT + "#x"},
        {"redirect_uri": "https://client.example/callback/../evil"},
        {"redirect_uri": "https://client.example.evil.example/callback"},
        {"redirect_uri": "https://client.example@evil.example/callback"},
        {"redirect_uri": "http://client.example/callback"},
        {"redirect_uri": "HTTPS://client.example/callback"},
        {"redirect_uri": "https://client.example:443/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": REDIRECT + "\r\nX: y"},
        {"redirect_uri": ""},
    ],
)
async def test_to_an_address_that_is_not_registered_nobody_is_sent(
    client: httpx.AsyncClient, changed: dict[str, str]
) -> None:
    shown = await client.get("/oauth/authorize", params=asked(**changed))
    posted = await client.post("/oauth/authorize", data=agreed(**changed))

    for answer in (shown, posted):
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"state": "\u00e9"}, "invalid_request"),
        ({"state": "x" * 513}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
    ],
)
async def test_anything_but_a_code_with_a_proof_key_is_refused(
    client: httpx.AsyncClient, changed: dict[str, str], error: str
) -> None:
    shown = await client.get("/oauth/authorize", params=asked(**changed))
    posted = await client.post("/oauth/authorize", data=agreed(**changed))

    assert said(shown)["error"] == said(posted)["error"] == error
    assert "code" not in said(posted)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"decision": "deny"}, "access_denied"),
        ({"decision": ""}, "access_denied"),
        ({"login": "elder-there"}, "access_denied"),
        ({"scope": "root"}, "invalid_scope"),
        ({"scope": "admin"}, "invalid_scope"),
    ],
)
async def test_who_refuses_or_may_not_is_sent_back_without_a_code(
    client: httpx.AsyncClient, changed: dict[str, str], error: str
) -> None:
    answer = await client.post("/oauth/authorize", data=agreed(**changed))

    assert said(answer)["error"] == error
    assert "code" not in said(answer)


async def test_a_wrong_password_shows_the_page_again(client: httpx.AsyncClient) -> None:
    answer = await client.post("/oauth/authorize", data=agreed(password="<b>wrong</b>"))

    assert answer.status_code == 401
    assert "login or password is wrong" in answer.text
    assert "<b>" not in answer.text
    assert "location" not in answer.headers


async def test_what_the_page_repeats_is_escaped(client: httpx.AsyncClient) -> None:
    hostile = '"><script>alert(1)</script>'

    answer = await client.get("/oauth/authorize", params=asked(state=hostile, scope=hostile))

    assert answer.status_code == 200
    assert "<script>" not in answer.text
    assert CHALLENGE in answer.text


async def test_a_parameter_that_is_there_twice_is_refused(client: httpx.AsyncClient) -> None:
    twice = f"{httpx.QueryParams(asked())}&redirect_uri={REDIRECT}"

    answer = await client.get(f"/oauth/authorize?{twice}")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_an_address_with_a_query_keeps_it(client: httpx.AsyncClient) -> None:
    with_query = {"redirect_uri": REDIRECT + "?kind=phone"}

    answer = await client.post("/oauth/authorize", data=agreed(**with_query))

    assert said(answer)["kind"] == "phone"
    assert said(answer)["code"]
