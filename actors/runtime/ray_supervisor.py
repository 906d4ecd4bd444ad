"""The supervisor as a Ray actor, and what it does to members through Ray."""

import asyncio
import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import structlog
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError

from actors.errors import DependencyUnavailable
from actors.metrics import Sample
from actors.runtime import logs
from actors.runtime.desired import DesiredInMemory, DesiredState, LostLeadership, PoolState
from actors.runtime.directory import Roster
from actors.runtime.envelope import Snapshot
from actors.runtime.identity import MemberIdentity
from actors.runtime.ray_cluster import SUPERVISOR, NamedActor, existing_members
from actors.runtime.supervisor import Gone, Status, Supervisor
from actors.settings import GuildSettings, PoolSettings, settings
from actors.storage.database import Database
from actors.storage.desired import DesiredInPostgres

HEAD = "node:__internal_head__"
"""Ray's own resource of the head node; what must be there takes a sliver of it."""

_STOP_S = 2.0

_log = structlog.get_logger("elders_guild.supervisor")

Classes = Mapping[str, str]
"""Pool name → its member class, as ``package.module:Class``."""


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


class RayCluster:
    """Members as detached named Ray actors. A `supervisor.Cluster`."""

    def __init__(self, guild: GuildSettings, classes: Classes) -> None:
        self._guild = guild
        self._classes = classes
        self._actors: dict[MemberIdentity, NamedActor] = {}

    async def existing(self) -> tuple[MemberIdentity, ...]:
        """See `Cluster.existing`."""
        return await existing_members(self._guild.ray_namespace)

    async def create(self, member: MemberIdentity) -> None:
        """See `Cluster.create`."""
        self._actors.pop(member, None)
        needs = pool_settings(self._guild, member.pool)
        actor_class = _load(self._classes[member.pool])
        options = ray.remote(actor_class).options(
            name=member.name,
            namespace=self._guild.ray_namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,  # Ray starts a process again much sooner than we could notice
            max_task_retries=0,  # what may run twice is decided by the pool
            max_concurrency=1000,
            num_cpus=needs.num_cpus,
            memory=needs.memory_mib << 20,
        )
        try:
            await asyncio.to_thread(options.remote, member)
        except RayError:
            raise DependencyUnavailable("ray") from None

    async def health(self, member: MemberIdentity) -> Snapshot:
        """See `Cluster.health`."""
        handle = await self._handle(member)
        try:
            snapshot: Snapshot = await handle.health.remote()
        except ActorDiedError:
            self._actors.pop(member, None)
            raise Gone(member.name) from None
        except RayError:
            raise DependencyUnavailable(member.name) from None
        return snapshot

    async def drain(self, member: MemberIdentity) -> None:
        """See `Cluster.drain`."""
        await self._actor(member).call("drain")

    async def restart(self, member: MemberIdentity) -> None:
        """See `Cluster.restart`."""
        await asyncio.to_thread(ray.kill, await self._handle(member), no_restart=False)

    async def end(self, member: MemberIdentity) -> None:
        """See `Cluster.end`."""
        try:
            handle = await self._handle(member)
        except Gone:
            return
        try:
            async with asyncio.timeout(_STOP_S):
                await handle.stop.remote()
        except (RayError, TimeoutError):
            _log.info("member_did_not_stop", member=member.name)
        await asyncio.to_thread(ray.kill, handle, no_restart=True)
        self._actors.pop(member, None)

    async def _handle(self, member: MemberIdentity) -> "ActorHandle[Any]":
        try:
            return await self._actor(member).handle()
        except DependencyUnavailable:
            raise Gone(member.name) from None

    def _actor(self, member: MemberIdentity) -> NamedActor:
        if member not in self._actors:
            self._actors[member] = NamedActor(member.name, self._guild.ray_namespace)
        return self._actors[member]


class SupervisorActor:
    """The detached actor ``supervisor``. Ray restarts it by its constructor alone."""

    def __init__(self, classes: Classes) -> None:
        guild = settings()
        logs.configure(guild.log_level)
        self._supervisor = Supervisor(
            RayCluster(guild, classes),
            _desired_state(guild),
            {name: _default(guild, name) for name in classes},
            guild.runtime,
        )
        self._deposed = False
        self._running = asyncio.create_task(self._run())  # Ray constructs us on our event loop

    async def watch(self, epoch: int, version: int) -> Roster:
        """See `Supervisor.watch`."""
        return await self._leading().watch(epoch, version)

    async def report(self, process_id: str, samples: Sequence[Sample]) -> None:
        """Takes the metrics of a process that is no member."""
        self._leading().report(process_id, samples)

    async def samples(self) -> tuple[Sample, ...]:
        """See `Supervisor.samples`."""
        return self._leading().samples()

    async def status(self) -> Status:
        """See `Supervisor.status`."""
        return self._leading().status()

    async def resize(
        self, pool: str, min_size: int, max_size: int, size: int | None = None
    ) -> PoolState:
        """See `Supervisor.resize`."""
        leading = self._leading()
        return await leading.resize(pool, min_size=min_size, max_size=max_size, size=size)

    async def roll(self, pool: str, generation: int) -> PoolState:
        """See `Supervisor.roll`."""
        return await self._leading().roll(pool, generation)

    def _leading(self) -> Supervisor:
        if self._deposed:
            raise DependencyUnavailable(SUPERVISOR)
        return self._supervisor

    async def _run(self) -> None:
        """Runs until deposed, then does and says nothing more: starting anew would depose back."""
        try:
            await self._supervisor.run()
        except LostLeadership:
            _log.error("supervisor_deposed")
            self._deposed = True
            await self._supervisor.close()
        except Exception:  # a bug: Ray starts the process again
            _log.exception("supervisor_failed")
            os._exit(1)


def pool_settings(guild: GuildSettings, pool: str) -> PoolSettings:
    """The settings of a pool; defaults for one that has none of its own."""
    found = getattr(guild.pools, pool, None)
    return found if isinstance(found, PoolSettings) else PoolSettings()


def _default(guild: GuildSettings, pool: str) -> PoolState:
    needs = pool_settings(guild, pool)
    return PoolState(pool, guild.generation, needs.min_size, needs.min_size, needs.max_size)


def _desired_state(guild: GuildSettings) -> DesiredState:
    url = guild.log_database_url.get_secret_value()
    if not url:
        return DesiredInMemory()
    return DesiredInPostgres(lambda: Database.open(url, guild.database, connections=1))


def _load(path: str) -> type[Any]:
    module, _, name = path.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found
