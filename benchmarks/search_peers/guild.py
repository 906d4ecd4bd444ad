"""Ours: the whole stack as ``cluster.up`` starts it, signed in, over HTTP, vectors given."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks import local_stack
from benchmarks.search_peers import Within, guild_wire
from benchmarks.search_peers.web import WebPeer
from benchmarks.vectors.kept import Sentences
from cluster.state import Stack

_BATCH = 100
_BATCHES_AT_ONCE = 4
_TIMEOUT_S = 120.0
_ATTEMPTS = 20
_STANDS_STILL_S = 120.0
_SAY_EVERY_S = 30.0
_POLL_S = 1.0
_PATIENT = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


@asynccontextmanager
async def guild(data: Sentences, folder: Path) -> AsyncIterator[WebPeer]:
    """Starts a stack, stores the documents and waits until all are searchable."""
    with local_stack.started(folder / "guild") as stack:
        token = _SignedIn(stack)
        begun = time.perf_counter()
        await _filled(stack, token, data)
        stored = time.perf_counter() - begun
        await _indexed(stack, token, len(data.texts))
        searchable = time.perf_counter() - begun
        port = urlsplit(stack.api_url).port
        if port is None:
            raise RuntimeError(f"{stack.api_url} names no port")
        yield WebPeer(
            port,
            guild_wire.SEARCH,
            bodies=lambda within: _bodies(data, within),
            rows_of=guild_wire.rows_of,
            token=token,
            settings={
                "guild_stored_per_s": round(len(data.texts) / stored, 1),
                "guild_searchable_per_s": round(len(data.texts) / searchable, 1),
            },
        )


class _SignedIn:
    """A fresh token each time: one turn is far shorter than its life."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def __call__(self) -> str:
        admin = self._stack.admin
        if admin is None:
            raise RuntimeError("the stack has no administrator")
        answer = httpx.post(
            f"{self._stack.api_url}{guild_wire.LOGIN}",
            json={"login": admin.name, "password": admin.secret},
            timeout=_TIMEOUT_S,
        )
        return str(answer.raise_for_status().json()["access_token"])


async def _filled(stack: Stack, token: _SignedIn, data: Sentences) -> None:
    slots = asyncio.Semaphore(_BATCHES_AT_ONCE)
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=_TIMEOUT_S) as http:
        http.headers.update(_headers(await asyncio.to_thread(token)))

        async def send(begin: int) -> None:
            documents = [
                guild_wire.document(row, data.texts[row], data.tags_of(row), data.vectors[row])
                for row in range(begin, min(begin + _BATCH, len(data.texts)))
            ]
            async with slots:
                await _stored(http, token, guild_wire.batch(documents))

        await asyncio.gather(*(send(row) for row in range(0, len(data.texts), _BATCH)))


async def _stored(http: httpx.AsyncClient, token: _SignedIn, body: bytes) -> None:
    """Sends a batch until every document of it is stored; a repeat changes nothing."""
    once = {"Idempotency-Key": uuid.uuid4().hex}
    for attempt in range(_ATTEMPTS):
        answer = await http.post(guild_wire.BATCH, content=body, headers=once)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            http.headers.update(_headers(await asyncio.to_thread(token)))
        elif answer.status_code not in _PATIENT:
            failed = answer.raise_for_status().json()["items"]
            statuses = {item["status"] for item in failed if item["document"] is None}
            if not statuses:
                return
            if not statuses <= _PATIENT:
                raise RuntimeError(f"documents were refused: {answer.text[:500]}")
        await asyncio.sleep(min(0.1 * 2**attempt, 2.0))
    raise RuntimeError("a batch was not stored")


async def _indexed(stack: Stack, token: _SignedIn, count: int) -> None:
    """Waits until the index holds all documents with their vectors; ends when it stands still."""
    seen: tuple[int, int] = (0, 0)
    moved = said = time.monotonic()
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=_TIMEOUT_S) as http:
        while time.monotonic() - moved < _STANDS_STILL_S:
            if not http.headers.get("Authorization"):
                http.headers.update(_headers(await asyncio.to_thread(token)))
            answer = await http.get(guild_wire.INDEX)
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                del http.headers["Authorization"]
                continue
            status = answer.raise_for_status().json()
            sources, pending = status["sources"], status["dense_pending"]
            if sources >= count and not pending:
                return
            now = time.monotonic()
            if (sources, pending) != seen:
                seen, moved = (sources, pending), now
            if now - said > _SAY_EVERY_S:
                said = now
                print(
                    f"{sources:,} of {count:,} are indexed, {pending:,} without a vector",
                    flush=True,
                )
            await asyncio.sleep(_POLL_S)
    raise RuntimeError(f"the index is not complete and stands still: {answer.text[:500]}")


def _bodies(data: Sentences, within: Within) -> list[bytes]:
    return [guild_wire.search(query, within.tag) for query in data.queries]


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
