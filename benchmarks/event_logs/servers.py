"""The servers of one run, side by side on one disk, and proof that they write to it."""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import nats
import nats.errors
import psutil

from actors.storage.migrate import migrate
from cluster.bootstrap import DatabaseUrls, Passwords, bootstrap
from cluster.problem import StackProblem
from cluster.process import Identity, free_ports
from cluster.services import PostgresServer, Service, ValkeyServer

_START_S = 60.0
_SECRET = "of-this-run"  # noqa: S105  # servers on loopback that live for minutes
_GUILD, _BARE = "guild", "bare"
_DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_sync_method": "fdatasync",
}
_SHOWN = ("server_version", *_DURABLE, "shared_buffers", "max_wal_size", "commit_delay")
_MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


class NatsServer(Service):
    """NATS with JetStream in files. ``sync`` is its ``sync_interval``; empty: as it comes."""

    name = "NATS"
    death_signal = signal.SIGTERM

    def __init__(self, folder: Path, *, port: int, sync: str) -> None:
        super().__init__(folder, port=port, environment={}, log=None)
        self._sync = sync

    @property
    def url(self) -> str:
        """On loopback, without a login."""
        return f"nats://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Writes the configuration."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync = f"  sync_interval: {self._sync}\n" if self._sync else ""
        (self.folder / "nats.conf").write_text(
            f"host: 127.0.0.1\nport: {self.port}\n"
            f'jetstream {{\n  store_dir: "{self.folder}/store"\n{sync}}}\n'
        )

    def command(self) -> tuple[list[str], Identity | None]:
        """The program that its wheel puts beside Python."""
        program = Path(sys.executable).parent / "nats-server"
        return [str(program), "-c", str(self.folder / "nats.conf")], None

    async def answers(self) -> bool:
        """Whether JetStream is there."""
        try:
            client = await nats.connect(
                self.url, allow_reconnect=False, connect_timeout=1, error_cb=_not_yet
            )
        except (OSError, TimeoutError, nats.errors.Error):
            return False
        try:
            await client.jetstream().account_info()
        except (TimeoutError, nats.errors.Error):
            return False
        finally:
            await client.close()
        return True


async def _not_yet(_: Exception) -> None:
    """The client would print what it raises anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What answers, and how.

    Attributes:
        guild: the database of the guild.
        bare_url: of the superuser, in a database like the guild's that nobody else uses.
        settings: of the servers, as they say themselves.
    """

    guild: DatabaseUrls
    bare_url: str
    valkey: ValkeyServer
    nats_always: NatsServer
    nats_default: NatsServer
    settings: dict[str, str]


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Starts them in a folder of their own, and ends and removes them. Only in the main thread.

    Raises:
        StackProblem: one does not start, or would not keep what it acknowledges.
    """
    with _folder() as folder:
        ports = free_ports(4)
        postgres = PostgresServer(
            folder / "postgres", port=ports[0], password=_SECRET, environment={}
        )
        valkey = ValkeyServer(
            folder / "valkey", port=ports[1], password=_SECRET, environment={}, max_memory_mib=1024
        )
        always = NatsServer(folder / "nats-always", port=ports[2], sync="always")
        default = NatsServer(folder / "nats", port=ports[3], sync="")
        every: tuple[Service, ...] = (postgres, valkey, always, default)
        try:
            for server in every:
                await asyncio.to_thread(server.prepare)
                await server.start(timeout_s=_START_S)
            guild, bare_url = await _databases(postgres)
            yield Servers(
                guild=guild,
                bare_url=bare_url,
                valkey=valkey,
                nats_always=always,
                nats_default=default,
                settings={**await _durable(postgres.admin_url), **await _versions(always)},
            )
        finally:
            for server in reversed(every):
                server.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="guild-bench-"))
    folder.chmod(0o711)  # the account PostgreSQL runs as passes through
    try:
        if (found := _file_system(folder)) in _MEMORY_FILE_SYSTEMS:
            raise StackProblem(f"{folder} is a {found}: set TMPDIR to a folder on a disk")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _file_system(folder: Path) -> str:
    """The kind of the one it lies on: that of the longest mount point above it."""
    above = [
        one for one in psutil.disk_partitions(all=True) if folder.is_relative_to(one.mountpoint)
    ]
    return max(above, key=lambda one: len(one.mountpoint)).fstype if above else ""


async def _databases(postgres: PostgresServer) -> tuple[DatabaseUrls, str]:
    passwords = Passwords(owner=_SECRET, app=_SECRET, log=_SECRET)
    guild, bare = [
        await bootstrap(postgres.admin_url, passwords, database=name) for name in (_GUILD, _BARE)
    ]
    for urls in (guild, bare):
        await migrate(urls.owner)
    return guild, f"{postgres.admin_url.rpartition('/')[0]}/{_BARE}"


async def _durable(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    try:
        found = {name: await connection.fetchval(f"SHOW {name}") for name in _SHOWN}
    finally:
        await connection.close()
    loose = [name for name, wanted in _DURABLE.items() if found[name] != wanted]
    if loose:
        raise StackProblem(f"PostgreSQL would lose what it acknowledges: {', '.join(loose)}")
    return {f"postgres_{name}": str(value) for name, value in found.items()}


async def _versions(server: NatsServer) -> dict[str, str]:
    client = await nats.connect(server.url)
    try:
        return {"nats_server": str(client.connected_server_version)}
    finally:
        await client.close()
