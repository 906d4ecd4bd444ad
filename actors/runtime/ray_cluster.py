"""Ray, as a caller sees it: handles by name, and its errors in our words."""

import asyncio
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from actors.errors import DependencyUnavailable, ElderGuildError
from actors.runtime.desired import SUPERVISOR as SUPERVISOR
from actors.runtime.directory import Roster
from actors.runtime.envelope import Answer, Batch
from actors.runtime.identity import MemberIdentity
from actors.runtime.mailbox import MemberLost
from actors.runtime.sockets import Calls, SocketServer, socket_path
from actors.settings import GuildSettings

ROUTER = "router"
_RESTARTING = "The actor is restarting"  # Ray says so only in words


def router_names(partitions: int) -> tuple[str, ...]:
    """The routers' actors, and their leases: ``router``, ``router/1`` and so on."""
    return (ROUTER, *(f"{ROUTER}/{index}" for index in range(1, partitions)))


class NotTaken(DependencyUnavailable):
    """The call reached no process: there is none of this name, or it is being started."""


class NamedActor:
    """A named actor, looked up once. It may be away, die, and come back under its name."""

    def __init__(self, name: str, namespace: str) -> None:
        self.name = name
        self._namespace = namespace
        self._handle: ActorHandle[Any] | None = None

    async def call(self, method: str, *args: object) -> Any:
        """Calls the actor and returns its answer.

        Raises:
            NotTaken: it is not there.
            DependencyUnavailable: it died while it worked on this, as far as anybody can tell.
            ElderGuildError: what it answered.
        """
        try:
            handle = await self.handle()
            return await getattr(handle, method).remote(*args)
        except ActorDiedError:
            self._handle = None  # another actor may take the name
            raise DependencyUnavailable(self.name) from None
        except RayTaskError as error:
            if isinstance(error.cause, ElderGuildError):  # its text is clean, unlike Ray's
                raise error.cause from None
            raise
        except RayError as error:
            kind = NotTaken if _RESTARTING in str(error) else DependencyUnavailable
            raise kind(self.name) from None

    async def handle(self) -> "ActorHandle[Any]":
        """The actor's handle. The first look-up takes milliseconds and leaves the event loop free.

        Raises:
            NotTaken: no actor has this name.
        """
        if self._handle is None:
            try:
                self._handle = await asyncio.to_thread(
                    ray.get_actor, self.name, namespace=self._namespace
                )
            except (ValueError, RayError):
                raise NotTaken(self.name) from None
        return self._handle

    def tell(self, method: str) -> None:
        """Calls without waiting, if the handle is known; else looks it up for the next time."""
        if self._handle is None:
            task = asyncio.get_running_loop().create_task(self._find())
            _finding.add(task)
            task.add_done_callback(_finding.discard)
            return
        getattr(self._handle, method).remote()

    def forget(self) -> None:
        """Looks the name up again at the next call."""
        self._handle = None

    async def _find(self) -> None:
        try:
            await self.handle()
        except DependencyUnavailable:
            return


_finding: set[asyncio.Task[None]] = set()


class RayPort:
    """The way to a member that is a Ray actor."""

    def __init__(self, member: MemberIdentity, namespace: str) -> None:
        self._actor = NamedActor(member.name, namespace)

    @property
    def name(self) -> str:
        """The actor's name."""
        return self._actor.name

    @property
    def direct(self) -> bool:
        """See `MemberPort.direct`."""
        return False

    async def submit(self, batch: Batch) -> Answer:
        """See `MemberPort.submit`."""
        return await self._call("submit", batch)

    async def collect(self, caller: str) -> Answer:
        """See `MemberPort.collect`."""
        return await self._call("collect", caller)

    async def close(self) -> None:
        """Ray keeps its connections."""

    async def _call(self, method: str, argument: object) -> Answer:
        try:
            answer: Answer = await self._actor.call(method, argument)
        except NotTaken:
            raise MemberLost(self.name, sent=False) from None
        except (ElderGuildError, RayTaskError):
            raise MemberLost(self.name, sent=True) from None
        return answer


def socket_of(guild: GuildSettings, name: str) -> Path | None:
    """Where the actor of this name listens if it is on this node; None outside of Ray."""
    if not ray.is_initialized():
        return None
    node = ray.get_runtime_context().get_node_id()
    return socket_path(guild.runtime.socket_dir, node, guild.ray_namespace, name)


async def listen(guild: GuildSettings, name: str, calls: Calls) -> SocketServer | None:
    """Opens the socket of the actor that this process is; None outside of Ray."""
    path = socket_of(guild, name)
    if path is None:
        return None
    server = SocketServer(path, calls)
    await server.open()
    return server


async def hang_up(listening: "asyncio.Task[SocketServer | None]") -> None:
    """Closes what `listen` opened."""
    server = await listening
    if server is not None:
        await server.close()


class RayRosterSource:
    """Rosters from the supervisor actor; names from Ray itself."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._supervisor = NamedActor(SUPERVISOR, namespace)

    async def watch(self, known: Roster) -> Roster:
        """See `RosterSource.watch`."""
        roster: Roster = await self._supervisor.call("watch", known.epoch, known.version)
        return roster

    async def existing(self) -> tuple[MemberIdentity, ...]:
        """See `RosterSource.existing`."""
        return await existing_members(self._namespace)


async def existing_members(namespace: str) -> tuple[MemberIdentity, ...]:
    """Every member actor of the namespace, in any state but dead.

    Raises:
        DependencyUnavailable: Ray does not answer.
    """
    try:
        named = await asyncio.to_thread(ray.util.list_named_actors, all_namespaces=True)
    except RayError:
        raise DependencyUnavailable("ray") from None
    found = (MemberIdentity.parse(one["name"]) for one in named if one["namespace"] == namespace)
    return tuple(sorted(member for member in found if member is not None))
