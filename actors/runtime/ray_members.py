"""Members as Ray actors: the shell around each, and what the supervisor does to them."""

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any

import ray
import structlog
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from actors.errors import DependencyUnavailable
from actors.runtime import garbage
from actors.runtime.envelope import Answer, Batch, Snapshot
from actors.runtime.identity import MemberIdentity
from actors.runtime.member import Member
from actors.runtime.ray_cluster import NamedActor, existing_members, hang_up, listen
from actors.runtime.sockets import Calls
from actors.runtime.supervising import Gone
from actors.settings import GuildSettings, PoolSettings, settings

_STOP_S = 2.0

_log = structlog.get_logger("elders_guild.supervisor")

Classes = Mapping[str, str]
"""Pool name → its `Member` class, as ``package.module:Class``."""


class MemberActor:
    """The Ray actor around one `Member`.

    The class is named by its path and loaded here, in the member's own process: the supervisor
    starts the members of all sages and imports none of them.
    """

    def __init__(self, path: str, identity: MemberIdentity) -> None:
        self._member = load_member_class(path)(identity)
        guild = settings()
        garbage.settle(guild.runtime.gc_threshold)
        calls: Calls = {"submit": self.submit, "collect": self.collect}
        self._listening = asyncio.create_task(listen(guild, identity.name, calls))

    async def submit(self, batch: Batch) -> Answer:
        """See `Member.submit`."""
        return await self._member.submit(batch)

    async def collect(self, caller: str) -> Answer:
        """See `Member.collect`."""
        return await self._member.collect(caller)

    async def health(self) -> Snapshot:
        """See `Member.health`."""
        snapshot = await self._member.health()
        return snapshot._replace(node=ray.get_runtime_context().get_node_id())

    async def drain(self) -> None:
        """See `Member.drain`."""
        await self._member.drain()

    async def stop(self) -> None:
        """See `Member.stop`."""
        await self._member.stop()
        await hang_up(self._listening)


def _titled(pool: str) -> type[MemberActor]:
    """The same class under the pool's name, which is what ``ps`` and Ray's dashboard show."""
    return type(f"{pool.title()}Member", (MemberActor,), {})


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
        actor: Any = ray.remote(_titled(member.pool))
        options = actor.options(
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
            await asyncio.to_thread(options.remote, self._classes[member.pool], member)
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
        except RayTaskError as error:
            _log.warning("member_unwell", member=member.name, reason=str(error.cause))
            raise TimeoutError(member.name) from None
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


def pool_settings(guild: GuildSettings, pool: str) -> PoolSettings:
    """The settings of a pool; defaults for one that has none of its own."""
    found = getattr(guild.pools, pool, None)
    return found if isinstance(found, PoolSettings) else PoolSettings()


def load_member_class(path: str) -> type[Member]:
    """The class behind ``package.module:Class``.

    Raises:
        ImportError, AttributeError: there is no such module, or nothing of that name in it.
        TypeError: it is no member class.
    """
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, Member)):
        raise TypeError(f"{path} is no Member")
    return found
