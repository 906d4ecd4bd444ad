"""The guild's HTTP API as the operator's tools call it: signed in, patient, and safe to repeat.

A call goes out again when the connection failed, when the answer says that it may, or when what
answered is not the guild (its answers carry ``Guild-Version``). Every POST carries an
``Idempotency-Key`` that stays the same for all of its repeats, so nothing happens twice.
"""

import asyncio
import base64
import contextlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

API = "/api/v1"

Json = dict[str, Any]
SignIn = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
ResultT = TypeVar("ResultT")

_AGAIN = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_LONGEST_RETRY_AFTER_S = 60.0


class ApiProblem(Exception):
    """The API said no, or nothing at all for longer than we wait. One sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class _NotNow(Exception):
    """An answer after which the same may fare better later."""

    def __init__(self, trouble: str, retry_after_s: float) -> None:
        super().__init__(trouble, retry_after_s)
        self.trouble = trouble
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A good answer.

    Attributes:
        attempts: how often the request was sent until it was given.
    """

    body: Json
    version: int | None
    position: str | None
    attempts: int


def with_password(login: str, password: str) -> SignIn:
    """Signs a person in."""

    async def sign_in(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/oauth/login", json={"login": login, "password": password})

    return sign_in


def with_client_credentials(client_id: str, secret: str) -> SignIn:
    """Signs a program in, as Alertmanager does it."""

    async def sign_in(client: httpx.AsyncClient) -> httpx.Response:
        form = {"grant_type": "client_credentials"}
        return await client.post("/oauth/token", data=form, auth=(client_id, secret))

    return sign_in


class Api:
    """One identity's way to one guild. An async context manager; not for several event loops."""

    def __init__(
        self,
        base_url: str,
        sign_in: SignIn,
        *,
        patience_s: float = 60.0,
        timeout_s: float = 20.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            base_url: of the API, without a path.
            sign_in: how a token is got; asked again when one has expired.
            patience_s: how long one call is repeated.
            timeout_s: of one attempt.
            transport: another way to the server, for tests.
        """
        self._client = httpx.AsyncClient(
            base_url=base_url, timeout=timeout_s, transport=transport, trust_env=False
        )
        self._sign_in = sign_in
        self._patience_s = patience_s
        self._token: str | None = None
        self._signing_in = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: str | int) -> Reply:
        """Reads. Raises `ApiProblem`."""
        return await self._call("GET", path, params=query)

    async def post(self, path: str, body: Json | None = None, *, key: str | None = None) -> Reply:
        """Does something once, however often it is sent; ``key`` names it. Raises `ApiProblem`."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return await self._call("POST", path, json=body, headers=headers)

    async def patch(self, path: str, body: Json, *, version: int, key: str) -> Reply:
        """Changes what has this version. Raises `ApiProblem`."""
        headers = {"If-Match": f'"{version}"', "Idempotency-Key": key}
        return await self._call("PATCH", path, json=body, headers=headers)

    async def delete(self, path: str, *, version: int, key: str | None = None) -> Reply:
        """Takes away what has this version; safe to repeat. Raises `ApiProblem`."""
        headers = {"If-Match": f'"{version}"', "Idempotency-Key": key or uuid.uuid4().hex}
        return await self._call("DELETE", path, headers=headers)

    async def guild_id(self) -> str:
        """The guild that the token is for, as it says itself. Raises `ApiProblem`."""
        return _guild_of(await self._patiently("signing in", self._current_token))

    async def until(
        self,
        path: str,
        done: Callable[[Json], bool] = lambda _: True,
        *,
        timeout_s: float,
        every_s: float = 0.1,
        **query: str | int,
    ) -> Reply:
        """Reads again until it exists and ``done`` agrees.

        Raises:
            ApiProblem: it did not in time; of status 408.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                reply = await self.get(path, **query)
            except ApiProblem as problem:
                if problem.status != HTTPStatus.NOT_FOUND:
                    raise
            else:
                if done(reply.body):
                    return reply
            if time.monotonic() > deadline:
                raise ApiProblem(
                    HTTPStatus.REQUEST_TIMEOUT, f"GET {path}: not there after {timeout_s:g} s"
                )
            await asyncio.sleep(every_s)

    async def _call(self, method: str, path: str, **request: Any) -> Reply:
        headers: Mapping[str, str] = request.pop("headers", {})
        attempts, renewed = 0, False

        async def once() -> Reply:
            nonlocal attempts, renewed
            while True:
                attempts += 1
                token = await self._current_token()
                response = await self._client.request(
                    method,
                    f"{API}{path}",
                    headers={**headers, "Authorization": f"Bearer {token}"},
                    **request,
                )
                if response.is_success:
                    return _reply(method, path, response, attempts)
                if response.status_code == HTTPStatus.UNAUTHORIZED and not renewed:
                    renewed = True
                    if self._token == token:  # else another call has seen that it expired
                        self._token = None
                    continue
                sentence = _sentence(method, path, response)
                if not may_repeat(response):
                    raise ApiProblem(response.status_code, sentence)
                raise _NotNow(sentence, retry_after(response))

        return await self._patiently(f"{method} {path}", once)

    async def _patiently(self, what: str, once: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """The first result of something that may fail for a while."""
        deadline = time.monotonic() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            trouble, advised_s = "", 0.0
            try:
                return await once()
            except httpx.RequestError as error:
                trouble = type(error).__name__
            except _NotNow as answer:
                trouble, advised_s = answer.trouble, answer.retry_after_s
            wait_s = max(pause_s, advised_s)
            if time.monotonic() + wait_s > deadline:
                raise ApiProblem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"{what}: no good answer in {self._patience_s:g} s, last: {trouble}",
                )
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _current_token(self) -> str:
        async with self._signing_in:
            return self._token or await self._new_token()

    async def _new_token(self) -> str:
        response = await self._sign_in(self._client)
        if may_repeat(response):
            trouble = f"signing in was answered {response.status_code}"
            raise _NotNow(trouble, retry_after(response))
        if not response.is_success:
            raise ApiProblem(response.status_code, f"signing in failed: {response.status_code}")
        token = _object("signing in", response).get("access_token")
        if not isinstance(token, str):
            raise _no_answer("signing in")
        self._token = token
        return token


def may_repeat(response: httpx.Response) -> bool:
    """Whether the same request may fare better later.

    A 404 or 5xx without ``Guild-Version`` did not come from the guild but from a proxy that has
    no routes yet or lost its server.
    """
    if response.status_code in _AGAIN:
        return True
    ours = "Guild-Version" in response.headers
    lost = response.status_code == HTTPStatus.NOT_FOUND or response.is_server_error
    return lost and not ours


def retry_after(response: httpx.Response) -> float:
    """How many seconds the server wants us to wait; 0 where it does not say, 60 at most."""
    said = response.headers.get("Retry-After", "")
    known = said.isascii() and said.isdecimal() and len(said) < 10
    return min(float(said), _LONGEST_RETRY_AFTER_S) if known else 0.0


def _guild_of(token: str) -> str:
    try:
        claims = token.split(".")[1]
        padded = claims + "=" * (-len(claims) % 4)
        return str(json.loads(base64.urlsafe_b64decode(padded))["guild"])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ApiProblem(HTTPStatus.BAD_GATEWAY, "the access token names no guild") from error


def _reply(method: str, path: str, response: httpx.Response, attempts: int) -> Reply:
    etag = response.headers.get("ETag", "").strip('"')
    return Reply(
        body=_object(f"{method} {path}", response) if response.content else {},
        version=int(etag) if etag.isdecimal() else None,
        position=response.headers.get("Guild-Position"),
        attempts=attempts,
    )


def _object(what: str, response: httpx.Response) -> Json:
    """The answer's JSON object: what a portal or another server answers is none of a guild's."""
    try:
        body = response.json()
    except (ValueError, RecursionError) as error:
        raise _no_answer(what) from error
    if not isinstance(body, dict):
        raise _no_answer(what)
    return body


def _no_answer(what: str) -> ApiProblem:
    return ApiProblem(HTTPStatus.BAD_GATEWAY, f"{what}: what was answered is no answer of a guild")


def _sentence(method: str, path: str, response: httpx.Response) -> str:
    what = f"{method} {path}"
    detail = ""
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        with contextlib.suppress(ApiProblem):  # its status says enough
            problem = _object(what, response)
            detail = f": {problem.get('detail', '')} {problem.get('errors') or ''}".rstrip()
    return f"{what} was answered {response.status_code}{detail}"
