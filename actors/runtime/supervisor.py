"""The supervisor as a Ray actor, and what it does to members through Ray."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Any

import ray
import structlog
from ray.actor import ActorHandle

from actors.errors import DependencyUnavailable
from actors.metrics import Sample
from actors.runtime import node, observed
from actors.runtime.desired import SUPERVISOR, DesiredInMemory, DesiredState, PoolState
from actors.runtime.directory import Roster
from actors.runtime.ray_cluster import NamedActor, existing_members, router_names
from actors.runtime.ray_members import Classes, RayCluster, pool_settings
from actors.runtime.supervising import Status, Supervisor
from actors.settings import GuildSettings, settings
from actors.storage.database import Database
from actors.storage.desired import DesiredInPostgres

HEAD = "node:__internal_head__"
"""Ray's own resource of the head node; what must be there takes a sliver of it."""

_log = structlog.get_logger("elders_guild.supervisor")


def start_supervisor(guild: GuildSettings, classes: Classes) -> ActorHandle[Any]:
    """Makes the supervisor, or finds the one that lives; it makes the pools.

    Args:
        guild: for the namespace only; the actor reads its own environment, so that no secret
            becomes part of what Ray keeps to start an actor again.
        classes: every pool that is to exist. A supervisor that lives keeps the ones it has.
    """
    handle: Any = (
        ray.remote(SupervisorActor)
        .options(
            name=SUPERVISOR,
            namespace=guild.ray_namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=1000,
            num_cpus=0.01,
            memory=256 << 20,
            resources={HEAD: 0.001},
        )
        .remote(dict(classes))
    )
    started: ActorHandle[Any] = handle
    return started


async def stop_pools(guild: GuildSettings) -> None:
    """Ends the supervisor first, so that nobody starts anything again, then every member."""
    namespace = guild.ray_namespace
    supervisor = NamedActor(SUPERVISOR, namespace)
    try:
        ray.kill(await supervisor.handle())
    except DependencyUnavailable:
        _log.info("no_supervisor")
    cluster = RayCluster(guild, {})
    for member in await existing_members(namespace):
        await cluster.end(member)


class SupervisorActor:
    """The detached actor ``supervisor``. Ray restarts it by its constructor alone."""

    def __init__(self, classes: Classes) -> None:
        guild = settings()
        observed.begin(guild, "supervisor")
        self._supervisor = Supervisor(
            RayCluster(guild, classes),
            _desired_state(guild),
            {name: _default(guild, name) for name in classes},
            guild.runtime,
            home=ray.get_runtime_context().get_node_id(),
        )
        self._routers = [
            NamedActor(name, guild.ray_namespace) for name in router_names(guild.router.partitions)
        ]
        self._period_s = guild.runtime.health_period_s
        self._node = node.watch(guild)
        # Ray constructs us on our event loop, and constructs us only when it starts us again.
        self._tasks = [asyncio.create_task(work) for work in (self._run(), self._hear_router())]

    async def watch(self, epoch: int, version: int) -> Roster:
        """See `Supervisor.watch`."""
        return await self._supervisor.watch(epoch, version)

    async def report(self, process_id: str, samples: Sequence[Sample]) -> None:
        """Takes the metrics of a process that is no member."""
        self._supervisor.report(process_id, samples)

    async def samples(self) -> tuple[Sample, ...]:
        """See `Supervisor.samples`."""
        return self._supervisor.samples()

    async def status(self) -> Status:
        """See `Supervisor.status`."""
        return self._supervisor.status()

    async def resize(
        self, pool: str, min_size: int, max_size: int, size: int | None = None
    ) -> PoolState:
        """See `Supervisor.resize`."""
        return await self._supervisor.resize(pool, min_size=min_size, max_size=max_size, size=size)

    async def roll(self, pool: str, generation: int) -> PoolState:
        """See `Supervisor.roll`."""
        return await self._supervisor.roll(pool, generation)

    async def _run(self) -> None:
        try:
            await self._supervisor.run()
        except Exception:  # a bug: Ray starts the process again
            _log.exception("supervisor_failed")
            os._exit(1)

    async def _hear_router(self) -> None:
        """Asks the routers for their metrics: they are no members, and nobody else would."""
        while True:
            await asyncio.sleep(self._period_s * 2)
            self._node.look()
            for router in self._routers:
                with contextlib.suppress(DependencyUnavailable):
                    health = await router.call("health")
                    self._supervisor.report(health.incarnation, health.samples)


def _default(guild: GuildSettings, pool: str) -> PoolState:
    needs = pool_settings(guild, pool)
    return PoolState(pool, guild.generation, needs.min_size, needs.min_size, needs.max_size)


def _desired_state(guild: GuildSettings) -> DesiredState:
    url = guild.log_database_url.get_secret_value()
    if not url:
        return DesiredInMemory()
    return DesiredInPostgres(lambda: Database.open(url, guild.database, connections=1))
