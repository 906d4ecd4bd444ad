"""All pools as one process sees them."""

from actors import clock, metrics
from actors.runtime.directory import Directory
from actors.runtime.identity import MemberIdentity
from actors.runtime.mailbox import MemberPort
from actors.runtime.nearest import NearestPort
from actors.runtime.nudge import Nudger
from actors.runtime.peers import Peers, PoolPeers
from actors.runtime.pool import Asker, Pool
from actors.runtime.ray_cluster import (
    NamedActor,
    RayPort,
    RayRosterSource,
    router_names,
    socket_of,
)
from actors.runtime.sockets import SocketClient
from actors.settings import GuildSettings


class Pools:
    """The mailboxes of one process. Cheap until first used; belongs to one event loop."""

    def __init__(self, settings: GuildSettings) -> None:
        self._settings = settings
        self._process_id = clock.new_id("proc")
        self._directory: Directory | None = None
        self._pools: dict[str, Pool] = {}
        self._routers: list[tuple[SocketClient | None, NamedActor]] = []

    def pool(self, name: str) -> Asker:
        """The pool of that name; it need not have members yet. Needs the running event loop."""
        return self._pool(name)

    def peers(self, name: str) -> Peers:
        """The members of that pool, each by its name. Needs the running event loop."""
        return PoolPeers(name, self._pool(name), self._known())

    def _known(self) -> Directory:
        if self._directory is None:
            source = RayRosterSource(self._settings.ray_namespace)
            self._directory = Directory(source, self._settings.runtime)
            self._directory.start()
        return self._directory

    def _pool(self, name: str) -> Pool:
        if name not in self._pools:
            pool = self._pools[name] = Pool(
                name, self._known(), self._connect, self._settings.runtime, self._process_id
            )
            metrics.MAILBOX_DEPTH.labels(name).set_function(lambda: pool.waiting)
        return self._pools[name]

    def router_nudger(self) -> Nudger:
        """What tells the routers, from this process, that the log has grown."""
        self._routers = self._routers or [
            (self._socket(name), NamedActor(name, self._settings.ray_namespace))
            for name in router_names(self._settings.router.partitions)
        ]

        def tell_all() -> None:
            for socket, router in self._routers:
                if socket is None or not socket.tell("nudge"):
                    router.tell("nudge")

        return Nudger(tell_all, self._settings.runtime.nudge_period_s)

    async def close(self) -> None:
        """Answers all that wait and stops watching the directory."""
        if self._directory is not None:
            await self._directory.close()
        for pool in self._pools.values():
            await pool.close()
        for socket, _ in self._routers:
            if socket is not None:
                await socket.close()

    def _connect(self, member: MemberIdentity) -> MemberPort:
        port = RayPort(member, self._settings.ray_namespace)
        socket = self._socket(member.name)
        return port if socket is None else NearestPort(socket, port)

    def _socket(self, name: str) -> SocketClient | None:
        path = socket_of(self._settings, name)
        if path is None:
            return None
        return SocketClient(path, look_again_s=self._settings.runtime.socket_retry_s)
