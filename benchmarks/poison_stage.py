"""A PostgreSQL, a Ray with router and pool, and the bus in this process: all of the run's own."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from actors import clock
from actors.runtime.message import Caller, Context, GuildId, Permission
from actors.storage.migrate import migrate
from cluster.bootstrap import DatabaseUrls, Passwords, bootstrap
from cluster.process import free_ports
from cluster.services import PostgresServer

if TYPE_CHECKING:  # Ray must find its environment when it is imported
    from actors.runtime.pool import Asker
    from actors.runtime.supervising import Status

POOL = "rag"
MEMBERS = 4
SETTINGS: Mapping[str, str] = {
    "GUILD_POOLS__RAG__MIN_SIZE": str(MEMBERS),
    "GUILD_POOLS__RAG__MAX_SIZE": str(MEMBERS),
    "GUILD_POOLS__RAG__MEMORY_MIB": "256",
    "GUILD_RUNTIME__RESTARTS_ALLOWED": "1000",
}
"""What differs from the defaults. Processes die here more often than a supervisor bears."""

_TABLES = """
CREATE TABLE effects (
    guild_id text NOT NULL,
    subscription text NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CALL guild_protect('effects');
CREATE TABLE repaired (at timestamptz NOT NULL);
GRANT SELECT ON repaired TO guild_app;
"""

_NAMESPACE = "guild"
_ROOT = Path(__file__).resolve().parent.parent
_MEMBER = "benchmarks.poison_member:PoisonedMember"
_START_S = 120.0


class Stage:
    """What the run talks to.

    Attributes:
        bus: publishes, subscribes and redrives, with the handlers of the real bus.
        admin: sees what became of it, past all row security.
        context: of everything that is asked.
    """

    def __init__(
        self, guild_id: GuildId, bus: "Asker", admin: "asyncpg.Pool[asyncpg.Record]"
    ) -> None:
        self.bus = bus
        self.admin = admin
        caller = Caller(
            guild_id=guild_id, principal_id="benchmark", permissions=frozenset(Permission)
        )
        self.context = Context(caller=caller, correlation_id="poison")

    async def deaths(self) -> int:
        """Processes of the pool that were replaced so far."""
        return sum((await _status()).restarts.values())


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Starts all of it, and ends exactly that."""
    with _folder() as folder:
        server = PostgresServer(
            folder / "postgres",
            port=free_ports(1)[0],
            password=secrets.token_hex(16),
            environment={},
        )
        server.prepare()
        await server.start(timeout_s=_START_S)
        try:
            urls = await bootstrap(server.admin_url, Passwords.generate())
            guild_id = await _prepare(urls)
            admin_url = urlunsplit(urlsplit(server.admin_url)._replace(path="/guild"))
            with _ray(folder / "ray", urls):
                looking = asyncpg.create_pool(admin_url, min_size=1, max_size=2)
                async with _bus(urls) as bus, looking as admin:
                    yield Stage(guild_id, bus, admin)
        finally:
            server.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gb", dir="/tmp"))  # socket paths are short
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _prepare(urls: DatabaseUrls) -> GuildId:
    await migrate(urls.owner)
    guild_id = GuildId(clock.new_id("gld"))
    owner = await asyncpg.connect(urls.owner)
    await owner.execute(_TABLES)
    await owner.execute("INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild_id)
    await owner.close()
    return guild_id


@contextmanager
def _ray(folder: Path, urls: DatabaseUrls) -> Iterator[None]:
    os.environ |= {
        **SETTINGS,
        "PYTHONPATH": str(_ROOT),
        "DATABASE_URL": urls.app,
        "GUILD_LOG_DATABASE_URL": urls.log,
        "LOG_LEVEL": "CRITICAL",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_timeout_ms_task_wait_for_death_info": "50",  # as the guild's own head is started
        "RAY_core_worker_internal_heartbeat_ms": "50",
    }
    import ray  # reads its environment when it is imported

    from actors.router.actor import start_routers
    from actors.runtime.supervisor import start_supervisor
    from actors.settings import GuildSettings

    ray.init(
        address="local",
        num_cpus=max(2, len(os.sched_getaffinity(0))),
        include_dashboard=False,
        object_store_memory=128 << 20,
        namespace=_NAMESPACE,
        log_to_driver=False,
        _temp_dir=str(folder),
    )
    try:
        start_supervisor(GuildSettings(), {POOL: _MEMBER})
        start_routers(GuildSettings())
        yield
    finally:
        ray.shutdown()


@asynccontextmanager
async def _bus(urls: DatabaseUrls) -> "AsyncIterator[Asker]":
    from actors.bus.actor import subscribing
    from actors.bus.postgres.publishing import PostgresPublishingStore
    from actors.bus.sage.publishing import PublishingSage
    from actors.runtime import logs
    from actors.runtime.host import Host
    from actors.runtime.local import LocalPool
    from actors.runtime.pools import Pools
    from actors.settings import GuildSettings
    from actors.storage.database import Database

    settings = GuildSettings()
    logs.configure(settings.log_level)
    pools = Pools(settings)
    host = Host(settings, pools, pools.router_nudger())
    host.on_close(pools.close)
    try:
        publishing = await Database.open(
            urls.app,
            settings.database,
            on_commit=host.nudge_router,
            connections=settings.bus.groups_in_flight,
        )
        host.on_close(publishing.close)
        sage = PublishingSage(PostgresPublishingStore(publishing), settings.bus)
        declaring = subscribing(await host.database(), host, settings)
        await _until_ready()
        yield LocalPool({**sage.handlers(), **declaring})
    finally:
        await host.close()


async def _status() -> "Status":
    import ray

    from actors.runtime.desired import SUPERVISOR

    status: Status = await ray.get_actor(SUPERVISOR, namespace=_NAMESPACE).status.remote()
    return status


async def _until_ready() -> None:
    """Every member works: the first events shall not wait for processes that start."""
    from actors.runtime.supervision import Phase

    async with asyncio.timeout(_START_S):
        while True:
            status = await _status()
            if sum(phase is Phase.READY for phase in status.members.values()) == MEMBERS:
                return
            await asyncio.sleep(0.2)
