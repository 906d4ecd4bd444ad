"""Where a request comes from, as far as it can be believed."""

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from fastapi import Request

_MAX_HOPS = 20


def client_address(request: Request, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The address that the last trusted proxy saw, or the one that is connected to us.

    Args:
        request: its ``X-Forwarded-For`` counts only from the right, as far as proxies wrote it.
        trusted: the proxies; with none the header is not looked at.
    """
    address = "" if request.client is None else request.client.host
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    for hop in reversed(hops[-_MAX_HOPS:]):
        if not _is_one_of(address, trusted) or not _is_address(hop.strip()):
            break
        address = hop.strip()
    return address


def _is_one_of(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if not networks or not _is_address(address):
        return False
    known = ipaddress.ip_address(address)
    return any(known in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
