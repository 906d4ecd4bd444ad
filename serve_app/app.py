"""The gateway as the one Serve deployment. Wiring, nothing else.

No ``from __future__ import annotations`` here: Serve looks at the annotation of `build`'s parameter
to validate the arguments, and a string would silently switch that off.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from fastapi import FastAPI
from pydantic import SecretStr
from ray import serve
from ray.serve import Application

from actors import clock, metrics
from actors.errors import ElderGuildError
from actors.metrics import Sample
from actors.runtime import garbage, node, observed
from actors.runtime.pools import Pools
from actors.runtime.ray_cluster import SUPERVISOR, NamedActor
from actors.settings import GuildSettings
from actors.storage.counters import RedisCounters
from serve_app.http import create_app
from serve_app.revocations import Revocations
from serve_app.streams import Address

_log = structlog.get_logger("elders_guild.gateway")
_RATE_PREFIX = "guild:rate:"
_HEALTH_TIMEOUT_S = 2.0


def build(args: GuildSettings) -> Application:
    """The Serve application.

    Args:
        args: fields given in the Serve config; the rest comes from the environment.
    """
    fields = without_secrets(args)

    def make() -> FastAPI:
        return replica(GuildSettings(**fields))

    gateway = serve.deployment(name="gateway")(serve.ingress(make)(Gateway))
    return gateway.bind()


class Gateway:
    """One replica; FastAPI does the work."""


def without_secrets(settings: GuildSettings) -> dict[str, Any]:
    """The fields that Ray may keep to start a replica again.

    Secrets are none of them: each replica reads those from its own environment.
    """
    return _open(settings.model_dump())


def _open(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _open(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if not isinstance(value, SecretStr)
    }


def replica(settings: GuildSettings) -> FastAPI:
    """The application of one replica, with pools found through Ray."""
    observed.begin(settings, "gateway")
    garbage.settle(settings.runtime.gc_threshold)
    pools = Pools(settings)
    hub = _Hub(settings)
    revocations = Revocations(settings.gateway, watched=True)
    if settings.allow_password_grant:
        _log.warning("password_grant_is_on")
    counters = _counters(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await revocations.look(pools.pool)
        tasks = (
            asyncio.create_task(hub.push_for_ever()),
            asyncio.create_task(revocations.watch(pools.pool)),
        )
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.audit.timeout_s):
                    await app.state.gateway.audit.flush()
            await app.state.gateway.desk.close()
            await app.state.gateway.fetcher.close()
            if counters is not None:
                await counters.close()
            await pools.close()

    return create_app(
        settings,
        pools.pool,
        samples=hub.samples,
        lifespan=lifespan,
        server_echoes_id=True,
        stopping=is_stopping,
        revocations=revocations,
        shared_count=counters,
    )


def _counters(settings: GuildSettings) -> RedisCounters | None:
    url, rate = settings.redis_url.get_secret_value(), settings.gateway.rate
    if not url:
        return None
    return RedisCounters(
        url, prefix=_RATE_PREFIX, timeout_s=rate.timeout_s, connections=rate.connections
    )


async def is_stopping(server: Address) -> bool:
    """Serve tells its application nothing before the last request is over.

    What it does tell is HAProxy: a replica that stops, or is ill, answers 503 at Serve's own
    address for that. Whoever else listens there does not say so.
    """
    try:
        async with asyncio.timeout(_HEALTH_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(*server)
            try:
                writer.write(b"GET /-/healthz HTTP/1.0\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # a line that does not end is a ValueError
        return False
    return status.split(b" ")[1:2] == [b"503"]


class _Hub:
    """The supervisor, as the place where the numbers of all processes meet."""

    def __init__(self, settings: GuildSettings) -> None:
        self._supervisor = NamedActor(SUPERVISOR, settings.ray_namespace)
        self._process_id = clock.new_id("proc")
        self._period_s = settings.gateway.metrics_push_s
        self._node = node.watch(settings)

    async def samples(self) -> Sequence[Sample]:
        """The sum over all processes; this one's own numbers while the supervisor is away."""
        try:
            await self._push()
            merged: Sequence[Sample] = await self._supervisor.call("samples")
        except ElderGuildError:
            return metrics.samples()
        return merged

    async def push_for_ever(self) -> None:
        """Hands this process's numbers on, until cancelled."""
        while True:
            await asyncio.sleep(self._period_s)
            try:
                await self._push()
            except ElderGuildError as error:
                _log.warning("metrics_not_pushed", code=error.code)

    async def _push(self) -> None:
        self._node.look()
        await self._supervisor.call("report", self._process_id, metrics.samples())
