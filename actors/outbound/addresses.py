"""Which addresses we call. Pure: nothing is resolved here, and nothing connected.

A URL is read by one strict grammar, far narrower than a browser's, so that no second reader can
see another host in it. What a name leads to is judged afterwards, address by address.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from actors.errors import ElderGuildError
from actors.settings import OutboundSettings

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:\[(?P<six>[0-9a-f:.]{2,45})\]|(?P<host>[a-z0-9.-]{1,253}))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/(?:%[0-9a-f]{2}|[a-z0-9._~:/@!$&'()*+,;=-])*)?"
    r"(?P<query>\?(?:%[0-9a-f]{2}|[a-z0-9._~:/?@!$&'()*+,;=-])*)?",
    re.IGNORECASE | re.ASCII,
)
_FOUR = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Old resolvers read 0x7f.1, 017700000001 and 2130706433 as addresses; no top-level name is like it.
_LAST_LABEL = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # a cloud's platform service, on an address that looks public
    )
)  # fmt: skip
# All of IPv6 that is handed out. Outside are loopback, link-local, unique local, multicast, the
# mapped and compatible forms of IPv4 and both NAT64 prefixes.
_PUBLIC_6 = IPv6Network("2000::/3")
# Inside, but with an IPv4 address in them (Teredo, 6to4), or for documents only.
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class AddressRefused(ElderGuildError):
    """Not an address that we call. The reason names what is wrong, never where it leads."""

    code = "address_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called, in the parts a request needs.

    Attributes:
        host: a name in lower case, or an address without brackets.
        path: with the query; at least ``/``.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class Policy:
    """Says yes or no to URLs, and to the addresses that their names lead to."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._settings = settings
        self._hosts = frozenset(settings.allowed_hosts)

    def target(self, url: str) -> Target:
        """The URL's parts, if the URL itself gives no reason to refuse it.

        Raises:
            AddressRefused: it does.
        """
        if len(url) > self._settings.max_url_chars:
            raise AddressRefused(f"is longer than {self._settings.max_url_chars} characters")
        parts = _URL.fullmatch(url)
        if parts is None:
            raise AddressRefused("is no plain http or https URL")
        scheme = parts["scheme"].lower()
        if scheme == "http" and not self._settings.allow_http:
            raise AddressRefused("is not https")
        port = int(parts["port"] or _DEFAULT_PORTS[scheme])
        if port > 65535 or (self._settings.ports and port not in self._settings.ports):
            raise AddressRefused("names a port that we do not call")
        path = (parts["path"] or "/") + (parts["query"] or "")
        return Target(scheme, self._host(parts["six"], parts["host"]), port, path)

    def check(self, host: str, addresses: Sequence[str]) -> None:
        """Whether all that a name leads to may be called: one that may not spoils the name.

        Args:
            host: of a `Target`.
            addresses: what it was resolved to, or itself where it is an address.

        Raises:
            AddressRefused: one may not, or there is none.
        """
        if not addresses or not all(self._may_reach(host, one) for one in addresses):
            raise AddressRefused("does not lead to a public address")

    def _host(self, six: str | None, named: str | None) -> str:
        host = (six or named or "").lower()
        if six is not None or _FOUR.fullmatch(host):
            try:
                literal = str(IPv4Address(host) if six is None else IPv6Address(host))
            except ValueError:
                raise AddressRefused("names a malformed address") from None
            self.check(literal, [literal])
            return literal
        if host not in self._hosts and not _is_name(host):
            raise AddressRefused("names no host as the domain name system has them")
        return host

    def _may_reach(self, host: str, address: str) -> bool:
        parsed = ip_address(address)
        return (
            host in self._hosts
            or any(parsed in network for network in self._settings.allowed_networks)
            or is_public(parsed)
        )


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the open internet, and nothing else besides."""
    match address:
        case IPv4Address():
            return address.is_global and not any(address in one for one in _NOT_PUBLIC_4)
        case _:
            return address in _PUBLIC_6 and not any(address in one for one in _NOT_PUBLIC_6)


def _is_name(host: str) -> bool:
    labels = host.split(".")
    return (
        len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and _LAST_LABEL.fullmatch(labels[-1]) is not None
    )
