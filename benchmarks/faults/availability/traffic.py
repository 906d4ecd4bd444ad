"""Clients that read and write at a steady rate, whatever comes back."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx

from benchmarks.faults.availability.noticed import Answer
from benchmarks.local_stack import administrator
from cluster.api import API, Api, ApiProblem, Json, SignIn
from cluster.state import Stack

_READ_TIMEOUT_S = 5.0
_PATIENCE_S = 60.0
_WRITE_EVERY = 5
_UNDER_WAY = 400
_CONNECTIONS = 100
QUESTION: Json = {"query": "disk is full", "top_k": 10}
"""The body of each search."""


class Traffic:
    """Of ``rate`` requests a second, every fifth creates a task; reads alternate with searches.

    A read is sent once. A write is repeated under its ``Idempotency-Key`` as our own clients do.
    """

    def __init__(self, client: httpx.AsyncClient, api: Api, token: str, rate: float) -> None:
        self._client = client
        self._api = api
        self._headers = {"Authorization": f"Bearer {token}"}
        self._rate = rate
        self._under_way: set[asyncio.Task[None]] = set()
        self._answers: list[Answer] = []
        self._run = uuid.uuid4().hex
        self.acknowledged: list[str] = []

    @property
    def label(self) -> str:
        """What the names of this traffic's tasks begin with."""
        return f"availability {self._run}"

    def since(self, moment_s: float) -> Sequence[Answer]:
        """What was sent from a moment on and is over."""
        return [one for one in self._answers if one.sent_s >= moment_s]

    async def send_for_ever(self) -> None:
        """Until cancelled."""
        began = time.monotonic()
        for number in range(10**9):
            pause_s = began + number / self._rate - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            self._send(number)

    async def settle(self) -> None:
        """Waits for what is under way; each has a bound of its own."""
        await asyncio.gather(*self._under_way)

    def _send(self, number: int) -> None:
        if len(self._under_way) >= _UNDER_WAY:
            now = time.monotonic()
            self._answers.append(Answer(write=False, sent_s=now, seconds=0, status=0, good=False))
            return
        write = number % _WRITE_EVERY == 0
        task = asyncio.create_task(self._write(number) if write else self._read(number))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _read(self, number: int) -> None:
        sent_s, status, advised = time.monotonic(), 0, False
        try:
            if number % 2:
                answer = await self._client.get(f"{API}/tasks?limit=1", headers=self._headers)
            else:
                answer = await self._client.post(
                    f"{API}/rag/search", json=QUESTION, headers=self._headers
                )
            status, advised = answer.status_code, "Retry-After" in answer.headers
        except httpx.HTTPError:
            pass
        self._note(sent_s, status, write=False, advised=advised)

    async def _write(self, number: int) -> None:
        name, sent_s, status = f"{self.label} {number}", time.monotonic(), 0
        try:
            reply = await self._api.post("/tasks", {"name": name}, key=name.replace(" ", "-"))
            self.acknowledged.append(str(reply.body["task_id"]))
            status = 201
        except ApiProblem as problem:
            status = problem.status
        self._note(sent_s, status, write=True)

    def _note(self, sent_s: float, status: int, *, write: bool, advised: bool = False) -> None:
        self._answers.append(
            Answer(
                write=write,
                sent_s=sent_s,
                seconds=time.monotonic() - sent_s,
                status=status,
                good=200 <= status < 300,
                advised=advised,
            )
        )


@asynccontextmanager
async def flowing(stack: Stack, rate: float) -> AsyncIterator[Traffic]:
    """Traffic that flows until the end of the block, and then settles."""
    sign_in = administrator(stack)
    limits = httpx.Limits(max_connections=_CONNECTIONS)
    async with (
        httpx.AsyncClient(
            base_url=stack.api_url, timeout=_READ_TIMEOUT_S, limits=limits, trust_env=False
        ) as client,
        Api(stack.api_url, sign_in, patience_s=_PATIENCE_S, timeout_s=_READ_TIMEOUT_S) as api,
    ):
        traffic = Traffic(client, api, await token_of(client, sign_in), rate)
        sending = asyncio.create_task(traffic.send_for_ever())
        try:
            yield traffic
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await traffic.settle()


async def token_of(client: httpx.AsyncClient, sign_in: SignIn) -> str:
    """An access token; it outlives one fault."""
    answer = await sign_in(client)
    answer.raise_for_status()
    return str(answer.json()["access_token"])
