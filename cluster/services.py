"""Our own PostgreSQL and Valkey: loopback only, with passwords, dying with their owner."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg
import redis.asyncio
import redis.exceptions

from cluster import marker
from cluster.binaries import find_postgres, find_valkey
from cluster.marker import Marked
from cluster.problem import StackProblem
from cluster.process import Identity, run, spawn, stop
from cluster.root import Runner, choose_runner

_POLL_S = 0.05
_PROBE_TIMEOUT_S = 3.0
_INITDB_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0
# Of servers that are thrown away: of tests, and where a backup is tried. Autovacuum would hold the
# log's horizon now and then, and hide what was just written.
_THROWN_AWAY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


class Service:
    """One server program: started, asked whether it answers, stopped. Not for several threads."""

    name: str
    death_signal: signal.Signals

    def __init__(
        self, folder: Path, *, port: int, environment: Mapping[str, str], log: Path | None
    ) -> None:
        self.folder = folder
        self.log = log or folder.with_name(f"{folder.name}.log")
        self.port = port
        self._environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The running program, or None."""
        return self._process.pid if self.alive and self._process is not None else None

    @property
    def alive(self) -> bool:
        """Whether the process runs; a dead one is reaped by asking."""
        return self._process is not None and self._process.poll() is None

    def prepare(self) -> None:
        """Makes the data folder. Blocks; may run in another thread than the rest."""
        raise NotImplementedError

    def spawn(self) -> None:
        """Starts the program and returns at once. Only from the main thread (see `process`)."""
        command, identity = self.command()
        self._process = spawn(
            command,
            log=self.log,
            environment=self._environment,
            death_signal=self.death_signal,
            identity=identity,
            cwd=self.folder,
        )

    def command(self) -> tuple[list[str], Identity | None]:
        """The command line, and the account it must run as."""
        raise NotImplementedError

    async def answers(self) -> bool:
        """Whether a real request is answered now."""
        raise NotImplementedError

    async def start(self, *, timeout_s: float) -> None:
        """Starts the program and waits until it answers. Only from the main thread.

        A start that ends early is repeated until the time is over: PostgreSQL refuses to start
        while its killed predecessor is not reaped.

        Raises:
            StackProblem: it does not answer in time; the text ends with what it printed last.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                self.spawn()
            while self.alive and time.monotonic() < deadline:
                if await self.answers():
                    return
                await asyncio.sleep(_POLL_S)
            await asyncio.sleep(_POLL_S * 4)
        self.stop()
        raise StackProblem(
            f"{self.name} does not answer after {timeout_s:g} s,"
            f" see {self.log}: {self._last_line()}"
        )

    def stop(self, *, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Ends the program in order, or by force when that takes too long. Blocks."""
        if self._process is not None:
            stop(self._process, self.death_signal, timeout_s=timeout_s)

    def _last_line(self) -> str:
        lines = (
            self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        )
        return lines[-1] if lines else "it printed nothing"


class PostgresServer(Service):
    """PostgreSQL with pgvector in a folder of its own. The superuser is ``postgres``."""

    name = "PostgreSQL"
    death_signal = signal.SIGINT  # "fast": sessions are ended, the data is left clean

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        password: str,
        environment: Mapping[str, str],
        log: Path | None = None,
        max_connections: int = 100,
        durable: bool = True,
    ) -> None:
        """Names everything; starts nothing.

        Args:
            folder: holds the data folder, the programs' copy if one is needed.
            port: on 127.0.0.1.
            password: of the superuser.
            environment: the marker of the stack.
            log: what the program prints; default: beside the folder.
            max_connections: of all roles together.
            durable: False where the server is thrown away: it may lose all at a power failure.
        """
        super().__init__(folder, port=port, environment=environment, log=log)
        self._password = password
        self._max_connections = max_connections
        self._durable = durable
        self._runner: Runner | None = None

    @property
    def admin_url(self) -> str:
        """The superuser's connection to the database ``postgres``."""
        return (
            f"postgresql://postgres:{quote(self._password, safe='')}@127.0.0.1:{self.port}/postgres"
        )

    @property
    def data(self) -> Path:
        """PostgreSQL's own data folder; exists only when initdb has ended well."""
        return self.folder / "data"

    def prepare(self) -> None:
        """Finds out how to run the programs here, and makes the data folder on the first start."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._runner = choose_runner(find_postgres(), self.folder)
        if not self.data.exists():
            self._initdb(self._runner)

    def _initdb(self, runner: Runner) -> None:
        partial = self.folder / f"data.partial.{os.getpid()}"
        secret = self.folder / f"password.{os.getpid()}"
        secret.touch(mode=0o600)
        secret.write_text(f"{self._password}\n")
        identity = runner.identity
        if identity is not None:
            os.chown(secret, identity.uid, identity.gid)
        command = runner.command(
            "initdb",
            f"--pgdata={partial}",
            "--username=postgres",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            *(() if self._durable else ("--no-sync",)),
        )
        try:
            status, output = run(
                command,
                timeout_s=_INITDB_TIMEOUT_S,
                environment=self._environment,
                identity=identity,
                cwd=self.folder,
            )
        finally:
            secret.unlink()
        if status != 0:
            last = output.strip().splitlines()[-1:]
            raise StackProblem(f"initdb failed in {self.folder}: {' '.join(last)}")
        partial.rename(self.data)  # a killed initdb leaves no folder that looks finished

    def spawn(self) -> None:
        """Starts the program, once nothing of a killed one is left in the data folder.

        PostgreSQL does not start while a child of an earlier postmaster lives. Such a child ends
        by itself, but not while it waits for a lock whose holder was killed: then it never does.
        """
        living = {one: _working_folder(one.pid) for one in marker.living()}
        for pid in orphans(living, folder=self.data.resolve(), adopted_by=os.getpid()):
            with contextlib.suppress(OSError):  # it ended; or PostgreSQL itself says what is wrong
                os.kill(pid, signal.SIGKILL)
        super().spawn()

    def command(self) -> tuple[list[str], Identity | None]:
        """PostgreSQL on loopback without a Unix socket, at its safest settings."""
        if self._runner is None:
            raise RuntimeError("prepare() comes first")
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": str(self._max_connections),
            "max_prepared_transactions": "0",  # a forgotten one would hold the log's horizon
            "idle_in_transaction_session_timeout": "30s",
            "synchronous_commit": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if self._durable else _THROWN_AWAY),
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = self._runner.command(
            "postgres", "-D", str(self.data), "-p", str(self.port), *arguments
        )
        return command, self._runner.identity

    async def answers(self) -> bool:
        """A query, not a connection: while it recovers it accepts and then refuses."""
        try:
            connection = await asyncpg.connect(self.admin_url, timeout=_PROBE_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            return bool(await connection.fetchval("SELECT 1", timeout=_PROBE_TIMEOUT_S) == 1)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        finally:
            connection.terminate()


def orphans(living: Mapping[Marked, Path | None], *, folder: Path, adopted_by: int) -> list[int]:
    """Children of PostgreSQL that work in a data folder and whose postmaster is dead. Pure.

    Args:
        living: processes, and where each works; None where we may not know, as root in a container
            may not of another account's.
        folder: the data folder.
        adopted_by: who becomes the parent of what lost its own.
    """
    inside = {one.pid for one, where in living.items() if where == folder}
    return [
        one.pid
        for one, where in living.items()
        if one.program == "postgres:"
        and (one.parent == adopted_by if where is None else where == folder)
        and one.parent not in inside
    ]


def _working_folder(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:  # it ended meanwhile, or we may not know
        return None


class ValkeyServer(Service):
    """Valkey with an append-only file in a folder of its own."""

    name = "Valkey"
    death_signal = signal.SIGTERM

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        password: str,
        environment: Mapping[str, str],
        log: Path | None = None,
        max_memory_mib: int = 256,
    ) -> None:
        """Names everything; starts nothing."""
        super().__init__(folder, port=port, environment=environment, log=log)
        self._password = password
        self._max_memory_mib = max_memory_mib

    @property
    def url(self) -> str:
        """With the password."""
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Writes the configuration; the password must not show in a command line."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            "bind 127.0.0.1\n"
            f"port {self.port}\n"
            f"requirepass {self._password}\n"
            f'dir "{self.folder}"\n'
            "daemonize no\n"
            "appendonly yes\n"
            "appendfsync everysec\n"
            'save ""\n'
            # A title would be written over the environment, and with it over the marker.
            "set-proc-title no\n"
            f"maxmemory {self._max_memory_mib}mb\n"
            "maxmemory-policy noeviction\n"
        )

    def command(self) -> tuple[list[str], Identity | None]:
        """Everything is in the file."""
        return [str(find_valkey()), str(self.folder / "valkey.conf")], None

    async def answers(self) -> bool:
        """PONG, with the password; LOADING does not count."""
        client = redis.asyncio.Redis.from_url(
            self.url, socket_timeout=_PROBE_TIMEOUT_S, socket_connect_timeout=_PROBE_TIMEOUT_S
        )
        try:
            return bool(await client.ping())
        except (OSError, redis.exceptions.RedisError):
            return False
        finally:
            await client.aclose()
