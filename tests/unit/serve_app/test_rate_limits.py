"""What a client sees of its quota."""

import httpx

from actors.settings import RateSettings
from tests.fixtures.gateway import app_over, client_of, settings

INTAKE = "/api/v1/alerts/alertmanager"
NOOP = "/api/v1/noop"


def small(principal: int) -> RateSettings:
    """Alone, a replica serves all of it."""
    return RateSettings(principal=principal, guild=10_000, window_s=3_600, alone_share=1)


async def test_every_answer_to_a_caller_carries_its_quota() -> None:
    async with client_of(app_over({}, settings(rate=small(10)))) as client:
        answer = await client.get(NOOP)
        problem = await client.get("/api/v1/ping/nobody")
        public = await client.get("/healthz")

    assert answer.headers["ratelimit-policy"].startswith('"principal";q=10;w=3600')
    assert answer.headers["ratelimit"].startswith('"principal";r=9;t=')
    assert problem.headers["ratelimit"].startswith('"principal";r=8;t=')
    assert "ratelimit" not in public.headers


async def test_beyond_the_quota_is_429_with_retry_after() -> None:
    async with client_of(app_over({}, settings(rate=small(2)))) as client:
        answers = [await client.get(NOOP) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    check_refusal(answers[-1])


async def test_intake_is_answered_503_never_429() -> None:
    async with client_of(app_over({}, settings(rate=small(1)))) as client:
        await client.get(NOOP)
        answers = [await client.post(INTAKE, json={"alerts": []}) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {503}
    check_refusal(answers[-1])


async def test_one_principals_quota_is_not_anothers() -> None:
    app = app_over({}, settings(rate=small(1)))
    async with client_of(app, principal="user_a") as one, client_of(app, principal="user_b") as two:
        await one.get(NOOP)

        assert (await one.get(NOOP)).status_code == 429
        assert (await two.get(NOOP)).status_code == 200


async def test_what_is_forbidden_counts_too() -> None:
    async with client_of(app_over({}, settings(rate=small(2))), ()) as client:
        answers = [await client.get(NOOP) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [403, 403, 429]


def check_refusal(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith(":overloaded")
    assert 1 <= int(answer.headers["retry-after"]) <= 3_600
    assert answer.headers["ratelimit"].startswith('"principal";r=0;')
