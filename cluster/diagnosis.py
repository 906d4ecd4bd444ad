"""What the doctor makes of what it sees. Pure: every door and every fact is given."""

import enum
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from actors.settings import MIN_SECRET_BYTES, can_be_guessed

API = "the API"
_HTTPS = 443
_TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})


class Level(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence about one thing; holds no secret."""

    level: Level
    about: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A socket that listens.

    Attributes:
        part: what of the guild it is; empty: nothing that we know.
        guard: what it asks for, such as a password; empty: nothing; None: nobody could find out.
        front: people and other machines are meant to come here.
    """

    port: int
    address: str
    program: str
    part: str = ""
    guard: str | None = None
    front: bool = False

    @property
    def is_open(self) -> bool:
        """Whether other machines may reach it."""
        return not is_loopback(self.address)


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's alone; also one of IPv4 within IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address == "localhost"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def of_doors(doors: Iterable[Door]) -> list[Finding]:
    """A finding for each door, the worst first."""
    found = [_of_door(door) for door in sorted(doors, key=lambda one: (one.port, one.address))]
    order = [Level.BAD, Level.WARNING, Level.OK]
    return sorted(found, key=lambda finding: order.index(finding.level))


def _of_door(door: Door) -> Finding:
    host = f"[{door.address}]" if ":" in door.address else door.address
    what = door.part or door.program or "a program of another account"
    about = f"{what} on {host}:{door.port}"
    match door.guard:
        case None:
            asks = "what it asks for could not be found out"
        case "":
            asks = "asks for nothing"
        case guard:
            asks = f"asks for {guard}"
    if not door.is_open:
        level = Level.OK if door.guard or not door.part else Level.WARNING
        if door.front:
            level = Level.OK
        return Finding(level=level, about=about, text=f"this machine only; {asks}")
    if door.front:
        level = Level.OK if door.guard else Level.WARNING
        return Finding(level=level, about=about, text=f"open, as it is meant to be; {asks}")
    if door.guard:
        text = f"open to other machines, {asks}: keep a firewall before it"
        return Finding(level=Level.WARNING, about=about, text=text)
    level = Level.BAD if door.part and door.guard == "" else Level.WARNING
    return Finding(level=level, about=about, text=f"open to other machines, {asks}: close it")


def of_front(doors: Sequence[Door], *, production: bool) -> list[Finding]:
    """Whether something that speaks TLS stands before the API, and nobody gets past it."""
    if not production:
        return []
    found = [_of_tls(doors)]
    if any(door.part == API and door.is_open for door in doors):
        text = "other machines reach it without what stands before it: listen on 127.0.0.1"
        found.append(Finding(level=Level.WARNING, about=API, text=text))
    return found


def _of_tls(doors: Sequence[Door]) -> Finding:
    if any(door.program == "nginx" for door in doors):
        return Finding(level=Level.OK, about="nginx", text="stands before the API")
    if any(door.port == _HTTPS and door.is_open for door in doors):
        text = f"is not seen here, but something answers on {_HTTPS}: see docs/DEPLOYMENT.md"
        return Finding(level=Level.OK, about="nginx", text=text)
    text = "is not running here: let something that speaks TLS stand before the API"
    return Finding(level=Level.WARNING, about="nginx", text=text)


def of_secrets(secrets: Mapping[str, str], *, production: bool) -> list[Finding]:
    """Whether each is there, and could not be guessed; by name, the value is never told."""
    return [_of_secret(name, value, production) for name, value in sorted(secrets.items())]


def _of_secret(name: str, value: str, production: bool) -> Finding:
    fault = Level.BAD if production else Level.WARNING
    if not value:
        return Finding(level=fault, about=name, text="is not set")
    if len(value.encode()) < MIN_SECRET_BYTES:
        text = f"is shorter than {MIN_SECRET_BYTES} bytes"
    elif can_be_guessed(value):
        text = "can be guessed: make a random one"
    else:
        return Finding(level=Level.OK, about=name, text="is set and strong")
    return Finding(level=fault, about=name, text=text)


def of_urls(urls: Mapping[str, str]) -> list[Finding]:
    """Whether the way to another host's server is closed to who listens in."""
    found = []
    for name, url in sorted(urls.items()):
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or is_loopback(host):
            continue
        modes = parse_qs(parts.query).get("sslmode", [])
        if parts.scheme == "rediss" or _TLS_MODES.intersection(modes):
            found.append(Finding(level=Level.OK, about=name, text="goes to its host over TLS"))
        else:
            text = "goes to another host without TLS: rediss://, or sslmode=verify-full"
            found.append(Finding(level=Level.BAD, about=name, text=text))
    return found


def of_migrations(pending: Sequence[str] | None) -> Finding:
    """Whether the schema is this version's; None: nobody could find out."""
    if pending is None:
        text = "could not be read: is GUILD_MIGRATION_DATABASE_URL set, and does it answer?"
        return Finding(level=Level.WARNING, about="migrations", text=text)
    if pending:
        text = f"{len(pending)} are missing: run `python -m cluster.migrate`"
        return Finding(level=Level.BAD, about="migrations", text=text)
    return Finding(level=Level.OK, about="migrations", text="are all applied")


def verdict(findings: Iterable[Finding]) -> int:
    """The exit status: 0 all is well, 1 there are warnings, 2 something is open or missing."""
    levels = {finding.level for finding in findings}
    if Level.BAD in levels:
        return 2
    return 1 if Level.WARNING in levels else 0
