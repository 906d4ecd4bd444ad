"""Our own log by HTTP: structured CloudEvents, and batches of them, to ``POST /api/v1/events``.

Import it only when the environment is as Ray's workers shall find it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml
from fastapi import FastAPI
from ray import serve

from actors import cloudevents
from actors.runtime.message import GuildId, Permission
from actors.settings import GuildSettings
from benchmarks.event_logs.drafts import Draft
from benchmarks.event_logs.lanes import Lanes
from benchmarks.event_logs.wire import PATH, request, structured
from benchmarks.load.client import Connection
from serve_app.access import ACCESS
from serve_app.app import Gateway, replica
from serve_app.tokens import Tokens, key_ring

_CONNECTIONS = 32
_ADMITTED_WITHIN_S = 30.0
_IN_A_ROW = 8  # good answers, by new connections: then every replica has given one
_CONFIG = Path(__file__).resolve().parents[2] / "ray_config.yaml"


def missing() -> str:
    """Why there is nothing to measure; empty: there is."""
    return "" if f"POST {PATH}" in ACCESS else f"the gateway has no POST {PATH}"


class Lane:
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._answered: asyncio.Future[bool] | None = None
        self.connection = Connection(self._done)

    async def post(self, request: bytes) -> None:
        """Sends it and waits for its reply.

        Raises:
            ConnectionError: the reply was none of success, or there was none.
        """
        loop = asyncio.get_running_loop()
        self._answered = loop.create_future()
        self.connection.send(request, due=loop.time())
        if not await self._answered:
            said = self.connection.reply.decode(errors="replace")
            raise ConnectionError(f"an event was not acknowledged: {said}")

    def _done(self, _: Connection, good: bool) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(good)


class HttpLog:
    """A `Log` behind the gateway."""

    def __init__(self, lanes: Lanes[Lane], port: int, token: str) -> None:
        self._lanes = lanes
        self._port = port
        self._token = token

    async def write(self, drafts: Sequence[Draft]) -> None:
        """One request."""
        told = [structured(draft) for draft in drafts]
        one = len(told) == 1
        body = orjson.dumps(told[0] if one else told)
        media = cloudevents.STRUCTURED if one else cloudevents.BATCH
        async with self._lanes.one() as lane:
            await lane.post(request(self._port, self._token, media, body))


@asynccontextmanager
async def http_log(port: int, guild_id: GuildId) -> AsyncIterator[HttpLog]:
    """Connections to the gateway at this port, which is deployed already."""
    config = GuildSettings()
    keys = key_ring(config.jwt_secret.get_secret_value())
    token = Tokens(keys, config.gateway).sign(guild_id, "bench", frozenset({Permission.ADMIN}))
    loop = asyncio.get_running_loop()
    lanes = [Lane() for _ in range(_CONNECTIONS)]
    await _until_admitted(f"http://127.0.0.1:{port}{PATH}", token.token)
    try:
        for lane in lanes:
            await loop.create_connection(partial(_same, lane.connection), "127.0.0.1", port)
        yield HttpLog(Lanes(lanes), port, token.token)
    finally:
        for lane in lanes:
            lane.connection.close()


async def _until_admitted(url: str, token: str) -> None:
    """A replica admits nobody before it has read who is not to be admitted.

    Raises:
        TimeoutError: one never has.
    """
    good = 0
    async with asyncio.timeout(_ADMITTED_WITHIN_S):
        while good < _IN_A_ROW:
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(url, headers={"Authorization": f"Bearer {token}"})
            good = good + 1 if answer.is_success else 0
            await asyncio.sleep(0.0 if good else 0.1)


def _same(connection: Connection) -> Connection:
    return connection


def deploy() -> None:
    """The gateway as ``ray_config.yaml`` says; returns when it runs."""
    (application,) = yaml.safe_load(_CONFIG.read_text())["applications"]
    (options,) = application["deployments"]

    def make() -> FastAPI:
        return replica(GuildSettings())

    gateway: Any = serve.deployment(**options)(serve.ingress(make)(Gateway))
    serve.run(gateway.bind(), name=application["name"], route_prefix=application["route_prefix"])
