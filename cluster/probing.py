"""Who listens on this machine, and what each asks for: it is asked, not believed."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil

from cluster.diagnosis import API, Door

_TIMEOUT_S = 2.0
_NOOP, _RAY_VERSION = "/api/v1/noop", "/api/version"
_REFUSED = ("401", "403")
_NO_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nosec B104  # nobody binds
_PROGRAMS = {
    "postgres": "PostgreSQL",
    "valkey-server": "Valkey",
    "redis-server": "Redis",
    "gcs_server": "Ray's GCS",
    "raylet": "Ray's raylet",
    "haproxy": "HAProxy of Serve",
}
_PARTS = {
    "http": API,
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "gcs_store": "Valkey of Ray",
    "gcs": "Ray's GCS",
    "dashboard": "Ray's dashboard",
    "dashboard_agent": "Ray's dashboard agent",
    "dashboard_agent_grpc": "Ray's dashboard agent (gRPC)",
    "runtime_env_agent": "Ray's environment agent",
    "ray_client": "Ray's client server",
    "ray_metrics": "Ray's metrics",
    "node_manager": "Ray's raylet",
    "object_manager": "Ray's object manager",
    "autoscaler_metrics": "the autoscaler's metrics",
    "dashboard_metrics": "the dashboard's metrics",
    "haproxy_stats": "HAProxy's statistics",
    "haproxy_metrics": "HAProxy's metrics",
    "fallback_http": "Serve's proxy",
    "fallback_grpc": "Serve's proxy (gRPC)",
    "ingress": "a replica of the gateway",
}
_REPLICAS = 40  # ports of the block that begins at `ingress`


def doors(ports: Mapping[str, int]) -> list[Door]:
    """Every listening TCP socket of this machine's network that is the guild's, nginx's or open.

    Args:
        ports: of a stack, by the names of `cluster.ports`; may be empty.
    """
    named = {port: _PARTS.get(name, name) for name, port in ports.items()}
    if "ingress" in ports:
        for port in range(ports["ingress"], ports["ingress"] + _REPLICAS):
            named.setdefault(port, _PARTS["ingress"])
    found = set()
    for address, port, pid in _listening():
        program = _program(pid)
        door = Door(
            port=port,
            address=address,
            program=program,
            part=named.get(port) or _PROGRAMS.get(program) or _of_ray(pid),
            front=port == ports.get("http") or program == "nginx",
        )
        if door.part or door.front or door.is_open:
            found.add(door)
    return list(found)


async def guarded(door: Door, pids: Mapping[int, int]) -> Door:
    """The door with what it asks for.

    Args:
        door: to be tried.
        pids: port to the process that listens there.
    """
    host = _NO_ADDRESS.get(door.address, door.address)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            guard = await _guard(door, host, pids.get(door.port))
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        guard = None
    return replace(door, guard=guard)


def listeners() -> dict[int, int]:
    """Port to the process that listens there, as far as we may know."""
    return {port: pid for _, port, pid in _listening() if pid is not None}


def _listening() -> Iterator[tuple[str, int, int | None]]:
    """Address, port and process of every listening TCP socket of this network."""
    for one in psutil.net_connections(kind="tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr:
            yield one.laddr.ip, one.laddr.port, one.pid


async def _guard(door: Door, host: str, pid: int | None) -> str | None:
    if door.front:
        return "a token" if await _http_status(host, door.port, _NOOP) in _REFUSED else None
    match door.part:
        case "PostgreSQL":
            return await _of_postgres(host, door.port)
        case "Valkey" | "Redis" | "Valkey of Ray":
            return await _of_valkey(host, door.port)
        case "":
            return None
        case _:
            status = await _http_status(host, door.port, _RAY_VERSION)
            if status in _REFUSED:
                return "a token"
            if not status and pid is not None and _has_token(pid):
                return "Ray's token"  # gRPC, which we do not speak
            return "" if status or pid is not None else None


async def _of_postgres(host: str, port: int) -> str | None:
    try:
        connection = await asyncpg.connect(
            host=host, port=port, user="postgres", password="", database="postgres", ssl=False,
            timeout=_TIMEOUT_S,
        )  # fmt: skip  # nosec B106  # the question is whether none is enough
    except asyncpg.InvalidPasswordError:
        return "a password"
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    await connection.close()
    return ""


async def _of_valkey(host: str, port: int) -> str | None:
    answer = await _asked(host, port, b"PING\r\n")
    if answer.startswith((b"-NOAUTH", b"-DENIED")):
        return "a password"
    return "" if answer.startswith(b"+PONG") else None


async def _http_status(host: str, port: int, path: str) -> str:
    """What a stranger is answered; empty where nobody speaks HTTP.

    Raises:
        TimeoutError: nobody answers in time, so nobody knows.
    """
    question = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    try:
        version, _, rest = (await _asked(host, port, question)).partition(b" ")
    except (ConnectionError, ValueError):  # it hangs up, or its answer has no end
        return ""
    return rest[:3].decode("ascii", "replace") if version.startswith(b"HTTP/") else ""


async def _asked(host: str, port: int, question: bytes) -> bytes:
    async with asyncio.timeout(_TIMEOUT_S / 2):
        reader, writer = await asyncio.open_connection(host, port, limit=4_096)
        try:
            writer.write(question)
            return await reader.readline()
        finally:
            writer.close()


def _program(pid: int | None) -> str:
    if pid is None:
        return ""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).name()
    return ""


def _of_ray(pid: int | None) -> str:
    """What listens on a port of its own choice, such as a worker."""
    return "a process of Ray" if pid is not None and b"RAY_" in _environ(pid) else ""


def _has_token(pid: int) -> bool:
    return b"RAY_AUTH_MODE=token" in _environ(pid).split(b"\0")


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
