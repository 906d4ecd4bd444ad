"""What of a stack can be reached from other machines, told at every start."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from cluster import marker


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Listener:
    """One listening socket that is not bound to loopback."""

    port: int
    address: str
    program: str


def beyond_loopback(stack_id: str) -> list[Listener]:
    """The stack's listening sockets on addresses that other machines may reach, by port."""
    found: set[Listener] = set()
    for process in marker.find(stack_id):
        try:
            connections = psutil.Process(process.pid).net_connections(kind="tcp")
        except psutil.Error:  # it ended meanwhile, or runs under another account: PostgreSQL
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and not _is_loopback(connection.laddr.ip):
                found.add(
                    Listener(
                        port=connection.laddr.port,
                        address=connection.laddr.ip,
                        program=process.title,
                    )
                )
    return sorted(found)


def describe(listeners: Iterable[Listener]) -> list[str]:
    """One line each; a port shared by several processes is named once."""
    by_place: dict[tuple[int, str], set[str]] = {}
    for one in listeners:
        by_place.setdefault((one.port, one.address), set()).add(one.program)
    return [
        f"{address}:{port}  {', '.join(sorted(programs))}"
        for (port, address), programs in sorted(by_place.items())
    ]


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback
