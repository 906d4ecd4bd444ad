"""Sages on two hosts, of which one is cut off and one dies, while tasks are being written.

A test runs it on the head, with the names of the hosts and a folder. It starts PostgreSQL and Ray
there, a further Ray node on the other host, and prints one JSON object.
"""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import ray

from actors import clock
from actors.errors import ElderGuildError
from actors.runtime.message import Caller, Context, GuildId, Permission
from actors.runtime.pool import Asker
from actors.runtime.pools import Pools
from actors.runtime.supervising import Status
from actors.runtime.supervision import Phase
from actors.runtime.supervisor import start_supervisor
from actors.settings import GuildSettings, RuntimeSettings
from actors.task.messages import CreateTask
from tests.fixtures.services import (
    PreparedDatabase,
    make_template,
    new_database,
    run_now,
    started_server,
)
from tests.fixtures.storage import new_guild
from tests.fixtures.two_hosts import HEAD_ADDRESS, WORKER_ADDRESS, Hosts

POOLS = {"task": "actors.task.actor:TaskMember"}
WRITERS = 8
_MIB = 1 << 20
_GCS_PORT, _DATABASE_PORT = 26_379, 25_432
_CUT_S, _AFTER_KILL_S, _STEADY_S = 15.0, 12.0, 8.0
_PATIENCE_S = 120.0
_ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Writing:
    """Writers that repeat what failed under the same id, as a client does.

    Attributes:
        acknowledged: names of the tasks that exist, as far as a writer was told.
        took: of each: when it was asked first and when it was acknowledged, monotonic seconds.
    """

    pool: Asker
    context: Context
    acknowledged: list[str] = field(default_factory=list)
    took: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopping: bool = False

    async def run(self) -> None:
        """Writes until it is told to stop."""
        await asyncio.gather(*(self._write(f"writer {number}") for number in range(WRITERS)))

    def longest_since(self, moment: float) -> float:
        """Seconds that a write took at most, of those that were not done at a moment."""
        return round(max(done - asked for asked, done in self.took if done > moment), 2)

    def silent_since(self, moment: float) -> float:
        """Seconds in which nobody at all was answered, at most, since a moment."""
        times = sorted([moment, *(done for _, done in self.took if done > moment)])
        return round(max(later - earlier for earlier, later in itertools.pairwise(times)), 2)

    async def _write(self, name: str) -> None:
        for number in itertools.count():
            if self.stopping:
                return
            command = CreateTask(
                context=self.context, command_id=clock.new_id("cmd"), name=f"{name}, {number}"
            )
            asked = time.monotonic()
            await self._until_done(command)
            self.took.append((asked, time.monotonic()))
            self.acknowledged.append(command.name)
            await asyncio.sleep(0.02)

    async def _until_done(self, command: CreateTask) -> None:
        while True:
            try:
                await self.pool.ask(command)
            except ElderGuildError as error:
                self.failures.append(error.code)
                await asyncio.sleep(0.1)
            else:
                return


@contextmanager
def database() -> Iterator[PreparedDatabase]:
    """PostgreSQL on the head, with all migrations."""
    with started_server() as server:
        run_now(make_template(server))
        with new_database(server) as made:
            yield made


@asynccontextmanager
async def door(port: int) -> AsyncIterator[None]:
    """PostgreSQL, which listens on loopback, for the other host."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    server = await asyncio.start_server(connected, HEAD_ADDRESS, _DATABASE_PORT)
    try:
        yield
    finally:
        server.close()


def start_ray(hosts: Hosts, folder: Path, made: PreparedDatabase) -> None:
    """A head here and a node there, with room for two members each."""
    common = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_kill_worker_timeout_milliseconds": "1000",
        "RAY_timeout_ms_task_wait_for_death_info": "50",
        "RAY_core_worker_internal_heartbeat_ms": "50",
        "GUILD_LOG_DATABASE_URL": made.log_url,
        "LOG_FILE": str(folder / "ray.log"),
    }
    program = str(Path(sys.executable).with_name("ray"))
    ports = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    sizes = ["--num-cpus=2", f"--object-store-memory={128 * _MIB}"]
    head = [
        *(program, "start", "--head", f"--node-ip-address={HEAD_ADDRESS}", f"--port={_GCS_PORT}"),
        *("--include-dashboard=false", "--include-log-monitor=false", f"--temp-dir={folder}"),
        *(f"--memory={800 * _MIB}", *sizes, *ports),
    ]
    hosts.run(hosts.head, head, {**common, "DATABASE_URL": made.app_url})
    worker = [
        *(program, "start", f"--address={HEAD_ADDRESS}:{_GCS_PORT}"),
        *(f"--node-ip-address={WORKER_ADDRESS}", f"--memory={600 * _MIB}", *sizes, *ports),
    ]
    there = made.app_url.replace(_host_of(made.app_url), f"{HEAD_ADDRESS}:{_DATABASE_PORT}")
    hosts.run(hosts.worker, worker, {**common, "DATABASE_URL": there})


async def play(hosts: Hosts, made: PreparedDatabase, guild_id: GuildId) -> dict[str, Any]:
    """Cuts the worker off, joins it again, and kills it; writes all the time."""
    # Each write goes to any member: else few writers keep to one, which may be here all the time.
    config = GuildSettings(runtime=RuntimeSettings(fill_before_spreading=1))
    supervisor = start_supervisor(config, POOLS)
    pools = Pools(config)
    caller = Caller(
        guild_id=guild_id, principal_id="usr_1", permissions=frozenset({Permission.ADMIN})
    )
    writing = Writing(pools.pool("task"), Context(caller=caller, correlation_id="cor_1"))
    head = ray.get_runtime_context().get_node_id()
    report: dict[str, Any] = {}

    async def places() -> Mapping[str, int]:
        roster = await supervisor.watch.remote(-1, -1)
        here = sum(node == head for node in roster.nodes)
        return {"head": here, "worker": len(roster.nodes) - here}

    async def until(condition: Callable[[Status], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not condition(await supervisor.status.remote()):  # noqa: ASYNC110  # it is asked
                await asyncio.sleep(0.2)

    async def whole_since(members: Mapping[str, int]) -> float:
        """Since when the members are where they were. One that hung is ended once more at first."""
        since: float | None = None
        async with asyncio.timeout(_PATIENCE_S):
            while since is None or time.monotonic() < since + _STEADY_S:
                if await places() != members:
                    since = None
                elif since is None:
                    since = time.monotonic()
                await asyncio.sleep(0.2)
        return since

    def all_ready(status: Status) -> bool:
        return sum(phase is Phase.READY for phase in status.members.values()) == 4

    async with door(int(_host_of(made.app_url).split(":")[1])):
        await until(lambda status: status.epoch > 0)  # it leads
        await supervisor.resize.remote("task", 4, 4)
        await until(all_ready)
        report["members"] = await places()
        work = asyncio.create_task(writing.run())
        await asyncio.sleep(3)

        moment = time.monotonic()
        await asyncio.to_thread(hosts.cut)
        await asyncio.sleep(_CUT_S)
        report["cut_off"] = {
            "longest_write_s": writing.longest_since(moment),
            "longest_silence_s": writing.silent_since(moment),
            "writes": sum(done > moment for _, done in writing.took),
            "failures": len(writing.failures),
        }
        moment = time.monotonic()
        await asyncio.to_thread(hosts.heal)
        whole = await whole_since(report["members"])
        report["whole_again_s"] = round(whole - moment, 1)
        report["members_again"] = await places()

        failures = len(writing.failures)
        moment = time.monotonic()
        report["processes_killed"] = await asyncio.to_thread(hosts.kill, hosts.worker)
        await asyncio.sleep(_AFTER_KILL_S)
        report["killed"] = {
            "longest_write_s": writing.longest_since(moment),
            "longest_silence_s": writing.silent_since(moment),
            "writes": sum(done > moment for _, done in writing.took),
            "failures": len(writing.failures) - failures,
        }
        writing.stopping = True
        await asyncio.wait_for(work, _PATIENCE_S)
    await pools.close()

    rows = await _rows(made, guild_id)
    return {
        **report,
        "acknowledged": len(writing.acknowledged),
        "lost": len(set(writing.acknowledged) - set(rows)),
        "doubled": len(rows) - len(set(rows)),
        "not_acknowledged": len(set(rows) - set(writing.acknowledged)),
        "failures": sorted(set(writing.failures)),
    }


async def _rows(made: PreparedDatabase, guild_id: GuildId) -> list[str]:
    connection = await asyncpg.connect(made.admin_url)
    try:
        found = await connection.fetch("SELECT name FROM tasks WHERE guild_id = $1", guild_id)
    finally:
        await connection.close()
    return [row["name"] for row in found]


def _host_of(url: str) -> str:
    return url.rpartition("@")[2].partition("/")[0]


def main(head: str, worker: str, folder: Path) -> int:
    """On the head."""
    hosts = Hosts(head, worker)
    with database() as made:
        guild_id = run_now(new_guild(made))
        start_ray(hosts, folder, made)
        os.environ["RAY_AUTH_MODE"] = "disabled"
        ray.init(
            address=f"{HEAD_ADDRESS}:{_GCS_PORT}",
            namespace=GuildSettings().ray_namespace,
            log_to_driver=False,
            _node_ip_address=HEAD_ADDRESS,
        )
        print(json.dumps(asyncio.run(play(hosts, made, guild_id))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
