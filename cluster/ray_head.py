"""One Ray head of our own: its environment, its command line, and what to do when a part dies.

`ray start` leaves daemons behind and watches none of them. Its GCS keeps its state in a Valkey of
its own, so a killed GCS can be executed again, exactly as it was, and goes on.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import marker
from cluster.ports import Ports
from cluster.problem import StackProblem
from cluster.process import parse_stat, run, spawn

# Loopback, but not the address Ray takes for "localhost" and replaces by the network's: agents,
# replicas and HAProxy's own servers then stay off the network, and a laptop may change networks.
NODE_ADDRESS = "127.0.0.2"
# A Unix socket's path ends at 107 bytes. Ray appends about 64; HAProxy's socket lies in a folder
# named after the node (56 letters) and is bound under a longer name first: about 74.
_LONGEST_TEMP_DIR = 33
_RAY, _HAPROXY = "t", "h"
_START_TIMEOUT_S = 150.0
_MEBIBYTE = 1 << 20
_MINIMUM_CPUS = 4  # a "CPU" is only a number to place by; two cores hold the whole stack


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsStore:
    """The Valkey that holds the GCS's state."""

    port: int
    password: str


GCS = "gcs_server"
SERVERS = ("postgres", "valkey-server", "unshare")  # share the marker with Ray, and are not Ray


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """How a process was executed, read while it lives, so that it can be executed again."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One process that `ray start` left behind; ``process`` once we have executed it again."""

    pid: int
    executed: Executed
    process: subprocess.Popen[bytes] | None = None


def ray_environment(
    ports: Ports, *, token: str, store: GcsStore, namespace: str, temp_dir: Path
) -> dict[str, str]:
    """The variables that make a Ray ours. Every worker inherits them.

    Args:
        ports: of the stack.
        token: of Ray's own authentication.
        store: the GCS's state.
        namespace: keeps this cluster's keys apart in it.
        temp_dir: sockets, logs, HAProxy's files.
    """
    haproxy = temp_dir / _HAPROXY
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        # uvicorn believes X-Forwarded-For of whoever comes from 127.0.0.1, which is HAProxy, which
        # passes on what the client wrote. `gateway.trusted_proxies` says whom to believe.
        "FORWARDED_ALLOW_IPS": "",
        "RAY_worker_niceness": "0",
        "RAY_kill_worker_timeout_milliseconds": "1000",  # a stopped member is replaced sooner
        "RAY_timeout_ms_task_wait_for_death_info": "50",  # these two: a caller hears of a member's
        "RAY_core_worker_internal_heartbeat_ms": "50",  # death in 0.1 s, and not after 1 to 2 s
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_agent_register_timeout_ms": "100000",
        "RAY_REDIS_ADDRESS": f"127.0.0.1:{store.port}",
        "RAY_external_storage_namespace": namespace,
        "AUTOSCALER_METRIC_PORT": str(ports.autoscaler_metrics),
        "DASHBOARD_METRIC_PORT": str(ports.dashboard_metrics),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",  # 0.1 takes 2 % of a core for nothing
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        # A line to another process for each request, of which Serve counts what we count ourselves.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.ingress),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.ingress_last),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    }


def start_command(
    ports: Ports, *, store: GcsStore, temp_dir: Path, object_store_mib: int, cpus: int
) -> list[str]:
    """`ray start` for a head. The store's password is an argument because Ray knows no other way.

    Args:
        ports: of the stack.
        store: the GCS's state.
        temp_dir: short.
        object_store_mib: shared memory; containers have little.
        cpus: what Ray may place, not what there is.
    """
    return [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        f"--node-ip-address={NODE_ADDRESS}",
        f"--port={ports.gcs}",
        f"--redis-password={store.password}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={ports.dashboard}",
        f"--dashboard-agent-listen-port={ports.dashboard_agent}",
        f"--dashboard-agent-grpc-port={ports.dashboard_agent_grpc}",
        f"--runtime-env-agent-port={ports.runtime_env_agent}",
        f"--ray-client-server-port={ports.ray_client}",
        f"--metrics-export-port={ports.ray_metrics}",
        f"--node-manager-port={ports.node_manager}",
        f"--object-manager-port={ports.object_manager}",
        # Any free port: the default range is one for all clusters of a host.
        "--min-worker-port=0",
        "--max-worker-port=0",
        f"--object-store-memory={object_store_mib * _MEBIBYTE}",
        f"--num-cpus={cpus}",
        '--resources={"head": 1}',
        f"--temp-dir={temp_dir}",
        "--include-log-monitor=false",  # nobody reads workers' prints on a driver here
        "--disable-usage-stats",
        "--log-style=record",
        "--log-color=false",
    ]


def short_temp_dir(folder: Path) -> Path:
    """A new, empty folder for Ray's sockets and logs: below ``folder`` when its path is short.

    It lies in one that only we may enter, because Ray opens its own to everybody.

    Raises:
        StackProblem: somebody else made the folder that we would use.
    """
    private = folder.resolve() / "ray"
    if len(str(private / _RAY)) > _LONGEST_TEMP_DIR:
        name = f"guild-{os.getuid()}-{zlib.crc32(str(private).encode()):08x}"
        private = Path(tempfile.gettempdir()) / name
    if private.is_symlink() or private.exists():
        found = private.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise StackProblem(f"{private} belongs to somebody else: remove it")
        shutil.rmtree(private)
    private.mkdir(mode=0o700)
    temp_dir = private / _RAY
    (temp_dir / _HAPROXY).mkdir(parents=True)
    return temp_dir


class RayHead:
    """Starts the head, notices what died, and executes a dead GCS again."""

    def __init__(
        self,
        *,
        stack_id: str,
        ports: Ports,
        store: GcsStore,
        temp_dir: Path,
        log: Path,
        environment: Mapping[str, str],
        object_store_mib: int,
    ) -> None:
        """Names everything; starts nothing.

        Args:
            stack_id: the marker, already in ``environment``.
            ports: of the stack.
            store: the GCS's state; empty, or with the state to go on from.
            temp_dir: from `short_temp_dir`.
            log: what `ray start` and an executed GCS print.
            environment: the whole environment of the head and so of every worker.
            object_store_mib: shared memory.
        """
        self._stack_id = stack_id
        self._ports = ports
        self._store = store
        self._temp_dir = temp_dir
        self._log = log
        self._environment = dict(environment)
        self._object_store_mib = object_store_mib
        self._daemons: dict[str, Daemon] = {}
        self._raylet_pid = 0

    @property
    def address(self) -> str:
        """For ``ray.init(address=…)``."""
        return f"{NODE_ADDRESS}:{self._ports.gcs}"

    @property
    def daemons(self) -> tuple[str, ...]:
        """What `ray start` left behind and can be executed again: all but the raylet."""
        return tuple(self._daemons)

    @property
    def pids(self) -> dict[str, int]:
        """Of everything the keeper looks after."""
        return {"raylet": self._raylet_pid} | {
            name: daemon.pid for name, daemon in self._daemons.items()
        }

    def start(self) -> None:
        """Runs `ray start` to its end, then remembers how the GCS was executed. Blocks.

        Raises:
            StackProblem: it failed; the text names the log. What it left is not ended.
        """
        command = start_command(
            self._ports,
            store=self._store,
            temp_dir=self._temp_dir,
            object_store_mib=self._object_store_mib,
            cpus=max(_MINIMUM_CPUS, os.cpu_count() or 1),
        )
        with self._log.open("ab") as output:
            try:
                # Into a file: the daemons it leaves would keep a pipe open for ever.
                status = run(
                    command,
                    timeout_s=_START_TIMEOUT_S,
                    environment=self._environment,
                    output=output,
                    watch=self._raylet_must_live,
                )[0]
            except subprocess.TimeoutExpired:  # its text would repeat the store's password
                raise StackProblem(
                    f"Ray did not start within {_START_TIMEOUT_S:g} s, see {self._log}"
                ) from None
        if status != 0:
            raise StackProblem(f"Ray did not start (exit status {status}), see {self._log}")
        self._remember(marker.find(self._stack_id))
        if GCS not in self._daemons or not self._raylet_pid:
            raise StackProblem(f"Ray started without GCS or raylet, see {self._log}")

    def _raylet_must_live(self) -> None:
        """On a busy machine a raylet gives up on its agents; `ray start` waits for it all the same.

        Raises:
            StackProblem: there was a raylet, and it is dead.
        """
        if not self._raylet_pid:
            living = marker.find(self._stack_id)
            self._raylet_pid = next((one.pid for one in living if one.program == "raylet"), 0)
        elif not self.raylet_alive:
            raise StackProblem(f"Ray's raylet died while it started, see {self._temp_dir}")

    def _remember(self, processes: Iterable[marker.Marked]) -> None:
        for process in processes:
            if process.parent != os.getpid() or process.program in SERVERS:
                continue  # a daemon's parent is gone, so it was adopted by us
            if process.program == "raylet":
                self._raylet_pid = process.pid
            elif (executed := read_execution(process.pid)) is not None:
                self._daemons[process.title] = Daemon(pid=process.pid, executed=executed)

    @property
    def raylet_alive(self) -> bool:
        """Whether this node is; without it every worker ends and Ray must start anew."""
        return _alive(self._raylet_pid)

    def daemon_alive(self, name: str) -> bool:
        """Whether one of the daemons is."""
        daemon = self._daemons[name]
        if daemon.process is not None:
            return daemon.process.poll() is None
        return _alive(daemon.pid)

    def restart_daemon(self, name: str) -> None:
        """Executes a dead daemon again, exactly as it was. Only from the main thread."""
        executed = self._daemons[name].executed
        process = spawn(
            executed.argv,
            log=self._log,
            environment=executed.environment,
            death_signal=signal.SIGKILL,
            cwd=executed.cwd,
        )
        self._daemons[name] = Daemon(pid=process.pid, executed=executed, process=process)

    def end(self, *, timeout_s: float) -> list[int]:
        """Ends every process of Ray; returns the pids that would not go. Blocks.

        Nothing of ours lives in a worker only, so there is nothing to wait for: PostgreSQL has
        every acknowledged write, and rolls an open transaction back.
        """
        return marker.end(self._stack_id, timeout_s=timeout_s, spare=SERVERS)


def read_execution(pid: int) -> Executed | None:
    """Arguments, environment and folder of a living process; None when it ended meanwhile."""
    place = Path("/proc") / str(pid)
    try:
        argv = (place / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        block = (place / "environ").read_bytes().rstrip(b"\0").split(b"\0")
        cwd = (place / "cwd").readlink()
    except OSError:
        return None
    pairs = (os.fsdecode(entry).partition("=") for entry in block)
    return Executed(
        argv=tuple(os.fsdecode(part) for part in argv),
        environment={name: value for name, _, value in pairs if name},
        cwd=cwd,
    )


def _alive(pid: int) -> bool:
    try:
        text = (Path("/proc") / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return False
    return parse_stat(text)[0] not in "ZX"
