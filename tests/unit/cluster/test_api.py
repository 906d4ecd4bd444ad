"""How a long job's client waits and renews its token."""

import asyncio
import base64
import json
from collections.abc import Callable

import httpx
import pytest

from cluster.api import Api, ApiProblem, retry_after, with_password

OURS = {"Guild-Version": "1"}
Answer = Callable[[httpx.Request], httpx.Response]


def api(answer: Answer) -> Api:
    transport = httpx.MockTransport(answer)
    return Api("http://guild", with_password("admin", "secret"), transport=transport)


def token(name: str) -> httpx.Response:
    claims = base64.urlsafe_b64encode(json.dumps({"guild": name}).encode()).decode().rstrip("=")
    return httpx.Response(200, json={"access_token": f"head.{claims}.signature"}, headers=OURS)


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("0", 0.0), ("9999", 60.0), ("soon", 0.0), ("-1", 0.0)]
)
def test_a_server_says_in_seconds_how_long_to_wait(header: str, seconds: float) -> None:
    assert retry_after(httpx.Response(503, headers={"Retry-After": header})) == seconds


async def test_a_full_server_is_asked_again_when_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    answers = iter([httpx.Response(503, headers={**OURS, "Retry-After": "7"})])

    async def note(seconds: float) -> None:
        slept.append(seconds)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/oauth/"):
            return token("guild_1")
        return next(answers, httpx.Response(204, headers=OURS))

    monkeypatch.setattr(asyncio, "sleep", note)
    async with api(answer) as client:
        reply = await client.delete("/rag/documents/doc_1", version=1)

    assert (reply.attempts, slept) == (2, [7.0])


async def test_calls_that_meet_an_expired_token_together_all_go_on_with_one_new_token() -> None:
    signed_in = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal signed_in
        if request.url.path.startswith("/oauth/"):
            signed_in += 1
            return token(f"guild_{signed_in}")
        fresh = request.headers["Authorization"] != f"Bearer {first}"
        return httpx.Response(200 if fresh else 401, json={}, headers=OURS)

    async with api(answer) as client:
        first = token("guild_1").json()["access_token"]
        assert await client.guild_id() == "guild_1"
        replies = await asyncio.gather(*(client.get("/rag/index") for _ in range(4)))

    assert signed_in == 2
    assert len(replies) == 4


async def test_a_token_that_names_no_guild_is_a_problem() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": "opaque"}, headers=OURS)

    async with api(answer) as client:
        with pytest.raises(ApiProblem, match="names no guild"):
            await client.guild_id()


NO_ANSWERS = [
    httpx.Response(200, text="<html>Sign in to the network</html>", headers=OURS),
    httpx.Response(200, json=["no", "object"], headers=OURS),
    httpx.Response(200, content=b"\xff\xfe", headers=OURS),
]


@pytest.mark.parametrize("strange", NO_ANSWERS)
async def test_a_good_answer_that_is_no_object_is_a_problem_that_names_the_call(
    strange: httpx.Response,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return token("guild_1") if request.url.path.startswith("/oauth/") else strange

    async with api(answer) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.get("/rag/index")

    assert raised.value.status == 502
    assert raised.value.sentence == "GET /rag/index: what was answered is no answer of a guild"


@pytest.mark.parametrize("strange", [*NO_ANSWERS, httpx.Response(200, json={}, headers=OURS)])
async def test_signing_in_where_no_guild_answers_is_a_problem(strange: httpx.Response) -> None:
    async with api(lambda _: strange) as client:
        with pytest.raises(ApiProblem, match="signing in: what was answered"):
            await client.guild_id()


async def test_a_refusal_without_a_readable_reason_is_still_a_refusal() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/oauth/"):
            return token("guild_1")
        kind = {**OURS, "Content-Type": "application/problem+json"}
        return httpx.Response(403, content=b"[", headers=kind)

    async with api(answer) as client:
        with pytest.raises(ApiProblem) as raised:
            await client.get("/rag/index")

    assert raised.value.status == 403


async def test_signing_in_waits_as_long_as_a_busy_guild_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    busy = iter([httpx.Response(503, headers={**OURS, "Retry-After": "4"})])

    async def note(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    async with api(lambda _: next(busy, token("guild_1"))) as client:
        guild_id = await client.guild_id()

    assert (guild_id, slept) == ("guild_1", [4.0])
