"""The router as a Ray actor: one, named, detached, started again by Ray when it dies."""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import ray
import structlog
from ray.actor import ActorHandle

from actors import clock, metrics
from actors.errors import ElderGuildError
from actors.router.postgres import PostgresRouterStore
from actors.router.redrive import Redriven, redrive
from actors.router.relay import Relay, SubscriptionState
from actors.runtime import logs
from actors.runtime.pools import Pools
from actors.runtime.ray_cluster import ROUTER
from actors.settings import GuildSettings, settings
from actors.storage.database import Database
from actors.storage.leaders import Leaders, LeadershipLost
from actors.storage.streams import LiveTail

_log = structlog.get_logger("elders_guild.router")
_HEAD = "node:__internal_head__"  # Ray's own resource of the head node


class RouterHealth(NamedTuple):
    """What the supervisor wants to know.

    Attributes:
        incarnation: id of the process.
        leading: whether it routes; False while the database is away or another router leads.
        epoch: of its lease; 0 before the first.
        samples: its metrics.
    """

    incarnation: str
    leading: bool
    epoch: int
    samples: tuple[metrics.Sample, ...]


class RouterSnapshot(NamedTuple):
    """How the router and its subscriptions stand."""

    leading: bool
    epoch: int
    nudges: int
    streamed: int
    subscriptions: tuple[SubscriptionState, ...]


class RouterActor:
    """Leads under the name ``router`` as long as it lives and nobody newer does.

    Ray runs nothing but the constructor of a restarted actor, so that is where the work begins;
    it runs on the actor's event loop.
    """

    def __init__(self) -> None:
        self._settings = settings()
        logs.configure(self._settings.log_level)
        self._incarnation = clock.new_id("run")
        self._pools = Pools(self._settings)
        self._relay: Relay | None = None
        self._store: PostgresRouterStore | None = None
        self._tail: LiveTail | None = None
        self._epoch = 0
        self._nudges = 0
        self._work = asyncio.create_task(self._lead_for_ever())

    async def nudge(self) -> None:
        """The log has grown. Carries nothing, may be lost."""
        self._nudges += 1
        if self._relay is not None:
            self._relay.nudge()

    async def health(self) -> RouterHealth:
        """Answers while the event loop lives."""
        if self._relay is not None:
            self._relay.observe()
        return RouterHealth(
            self._incarnation, self._relay is not None, self._epoch, metrics.samples()
        )

    async def snapshot(self) -> RouterSnapshot:
        """Lag, age and dead letters of each subscription; asks the database.

        Raises:
            DependencyUnavailable: the database is away.
        """
        relay = self._relay
        states = () if relay is None else await relay.states()
        streamed = 0 if self._tail is None else self._tail.appended
        return RouterSnapshot(relay is not None, self._epoch, self._nudges, streamed, states)

    async def redrive(self, subscription: str, event_ids: Sequence[str]) -> tuple[Redriven, ...]:
        """Delivers dead letters again; see `actors.router.redrive`."""
        if self._store is None:
            raise ElderGuildError("the router does not lead yet")
        return await redrive(
            self._store, self._pools.pool, self._settings.router, subscription, event_ids
        )

    async def stop(self) -> None:
        """Ends the work calmly: cursors are saved, so that little is repeated."""
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        self._relay = self._store = None
        await self._pools.close()

    async def _lead_for_ever(self) -> None:
        runtime = self._settings.runtime
        patience_s = 0.0  # Ray made this one the router: it takes over at once
        while True:
            try:
                await self._lead(patience_s)
            except LeadershipLost as lost:
                # Somebody newer exists. Should they go away, this one takes over, not before.
                patience_s = runtime.leader_lease_s
                _log.warning("router_deposed", epoch=lost.epoch)
            except ElderGuildError as error:
                _log.warning("router_waits", code=error.code, reason=str(error))
            except Exception:
                _log.exception("router_failed")
            self._relay = self._store = None
            await asyncio.sleep(runtime.restart_backoff_s)

    async def _lead(self, patience_s: float) -> None:
        database = await Database.open(
            self._settings.log_database_url.get_secret_value(), self._settings.database
        )
        try:
            holder = f"{socket.gethostname()}:{os.getpid()}:{self._incarnation}"
            leaders = Leaders(database)
            lease = await leaders.acquire(ROUTER, holder, unless_renewed_within_s=patience_s)
            if lease is None:
                return
            self._epoch = lease.epoch
            _log.info("router_leads", epoch=lease.epoch, run=self._incarnation)
            await self._relay_under(PostgresRouterStore(database, lease))
        finally:
            await database.close()

    async def _relay_under(self, store: PostgresRouterStore) -> None:
        tail = self._open_tail()
        showing = None if tail is None else asyncio.create_task(tail.run())
        self._store = store
        self._relay = Relay(
            store,
            self._pools.pool,
            self._settings.router,
            on_events=(lambda _: None) if tail is None else tail.offer,
            renew_s=self._settings.runtime.leader_lease_s / 3,
        )
        try:
            await self._relay.run()
        except asyncio.CancelledError:
            await _flush(self._relay, self._settings.database.connect_timeout_s)
            raise
        finally:
            if showing is not None:
                showing.cancel()

    def _open_tail(self) -> LiveTail | None:
        url = self._settings.redis_url.get_secret_value()
        self._tail = LiveTail(url, self._settings.router) if url else None
        return self._tail


async def _flush(relay: Relay, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await relay.flush()
    except (ElderGuildError, TimeoutError) as error:
        _log.warning("cursors_not_saved", reason=type(error).__name__)


def start_router(guild: GuildSettings) -> "ActorHandle[RouterActor]":
    """The router's handle; starts it if there is none. Needs an initialised Ray.

    Args:
        guild: for name and place only; the actor reads its own environment, so that no secret
            becomes part of what Ray keeps to start an actor again.
    """
    actor: Any = ray.remote(RouterActor)
    handle: ActorHandle[RouterActor] = actor.options(
        name=ROUTER,
        namespace=guild.ray_namespace,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=0,
        num_cpus=guild.router.num_cpus,
        memory=guild.router.memory_mib << 20,
        resources={_HEAD: 0.001},
    ).remote()
    return handle
