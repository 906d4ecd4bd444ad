"""Guessing passwords over HTTP: slow, whatever is said of where one comes from."""

import secrets
from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx
import pytest
from fastapi import FastAPI

from tests.fixtures.gateway import app_over, sages, settings
from tests.fixtures.oauth import PASSWORD, agreed, people


@pytest.fixture
async def app() -> FastAPI:
    return await made()


async def made(*proxies: str) -> FastAPI:
    config = settings(trusted_proxies=tuple(ip_network(proxy) for proxy in proxies))
    pools = sages(config, lambda: 1_000.0)  # no moment passes between two guesses
    await people(pools["identity"])
    return app_over(pools, config)


def from_address(app: FastAPI, address: str = "192.0.2.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with from_address(app) as client:
        yield client


async def guess(
    client: httpx.AsyncClient, login: str, word: str = "wrong", forwarded: str = ""
) -> httpx.Response:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return await client.post(
        "/oauth/login", json={"login": login, "password": word}, headers=headers
    )


def random_address() -> str:
    return ".".join(str(secrets.randbelow(254) + 1) for _ in range(4))


@pytest.mark.parametrize("login", ["elder", "nobody"])
async def test_the_sixth_guess_at_a_login_waits_whether_it_exists_or_not(
    client: httpx.AsyncClient, login: str
) -> None:
    answers = [await guess(client, login) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert answers[5].headers["retry-after"] == "1"
    assert answers[5].json()["error"] == "temporarily_unavailable"


async def test_the_right_password_also_waits_its_second_and_then_works(app: FastAPI) -> None:
    async with from_address(app) as client:
        for _ in range(4):
            await guess(client, "elder")
        right = await guess(client, "elder", PASSWORD)
        after = [await guess(client, "elder") for _ in range(5)]

    assert right.status_code == 200
    assert [answer.status_code for answer in after] == [401] * 5


async def test_one_address_has_twenty_guesses_a_minute_however_many_it_claims_to_be(
    client: httpx.AsyncClient,
) -> None:
    answers = [
        await guess(client, f"user-{number}", forwarded=random_address()) for number in range(100)
    ]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * 20 + [429] * 80
    assert 1 <= int(answers[99].headers["retry-after"]) <= 60


async def test_the_page_for_consent_counts_as_well(client: httpx.AsyncClient) -> None:
    statuses = []
    for _ in range(6):
        answer = await client.post("/oauth/authorize", data=agreed(password="wrong"))
        statuses.append(answer.status_code)

    assert statuses == [401] * 5 + [429]
    assert answer.headers["retry-after"] == "1"


async def test_behind_a_trusted_proxy_the_address_that_it_saw_counts(app: FastAPI) -> None:
    behind = await made("10.0.0.0/8")
    async with from_address(behind, "10.0.0.1") as proxy:
        ours = [
            (
                await guess(proxy, f"a-{number}", forwarded=f"{random_address()}, 198.51.100.9")
            ).status_code
            for number in range(25)
        ]
        through_two = await guess(proxy, "b", forwarded="198.51.100.9, 10.0.0.7")
        others = await guess(proxy, "c", forwarded="198.51.100.10")
        nonsense = await guess(proxy, "d", forwarded="x, unknown")
    async with from_address(behind, "203.0.113.5") as direct:
        direct_one = await guess(direct, "e", forwarded="198.51.100.9")

    assert ours == [401] * 20 + [429] * 5
    assert (through_two.status_code, others.status_code) == (429, 401)
    assert (nonsense.status_code, direct_one.status_code) == (401, 401)
