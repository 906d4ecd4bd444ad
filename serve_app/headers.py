"""The headers that every answer carries, whatever it says, and who else's page may read it. Pure.

There are no cookies, so no answer needs ``Access-Control-Allow-Credentials``, and none has it.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from actors.settings import GatewaySettings

Headers = list[tuple[bytes, bytes]]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""What there are routes of."""
_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_UNLESS_SAID: Headers = [
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
]
_MAY_SEND = (
    "Authorization, Content-Type, Guild-Position, Idempotency-Key, If-Match, If-None-Match,"
    " Last-Event-ID, X-Correlation-Id, X-Request-Id"
)
_MAY_READ = (
    b"ETag, Guild-Position, Guild-Version, Link, Location, RateLimit, RateLimit-Policy,"
    b" Retry-After, WWW-Authenticate, X-Correlation-Id, X-Request-Id"
)


class Standing:
    """Headers that do not depend on the request, made once."""

    def __init__(self, settings: GatewaySettings, version: str, *, production: bool) -> None:
        """Makes them.

        Args:
            settings: whether TLS is to be insisted on, and for how long.
            version: what ``Guild-Version`` says.
            production: browsers reach us through TLS, whoever ends it.
        """
        hsts = f"max-age={settings.hsts_s}; includeSubDomains".encode()
        self._plain: Headers = [(b"guild-version", version.encode()), *_ALWAYS]
        self._tls: Headers = list(self._plain)
        if settings.hsts_s:
            self._tls.append((b"strict-transport-security", hsts))
        self._production = production

    def over(self, scheme: str, said: Iterable[tuple[bytes, bytes]]) -> Headers:
        """An answer's own headers, and ours where it does not say otherwise."""
        own = list(said)
        names = {name for name, _ in own}
        own += self._tls if self._production or scheme == "https" else self._plain
        own += [pair for pair in _UNLESS_SAID if pair[0] not in names]
        return own


class Origins:
    """Whose pages may call us: those on the list, and no others."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Takes the list."""
        self._allowed = frozenset(origin.encode() for origin in settings.cors_origins)
        self._preflight: Mapping[str, str] = MappingProxyType(
            {
                "Access-Control-Allow-Methods": ", ".join(METHODS),
                "Access-Control-Allow-Headers": _MAY_SEND,
                "Access-Control-Max-Age": str(settings.cors_max_age_s),
            }
        )

    def on(self, request: Iterable[tuple[bytes, bytes]]) -> Headers:
        """What an answer says about the page that asked; nothing while the list is empty."""
        if not self._allowed:
            return []
        origin = _one(request, b"origin")
        if origin not in self._allowed:
            return [(b"vary", b"Origin")]
        return [
            (b"vary", b"Origin"),
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _MAY_READ),
        ]

    def preflight(
        self, method: str, request: Iterable[tuple[bytes, bytes]]
    ) -> Mapping[str, str] | None:
        """The answer's headers, where a browser asks for a page of the list whether it may call."""
        if method != "OPTIONS" or not self._allowed:
            return None
        request = tuple(request)
        asks = _one(request, b"access-control-request-method")
        if not asks or _one(request, b"origin") not in self._allowed:
            return None
        return self._preflight


def _one(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header that is there once; else nothing."""
    found = [value for given, value in headers if given == name]
    return found[0] if len(found) == 1 else b""


class Hosts:
    """The names that we answer to."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Takes the list; an empty one means every name."""
        self._allowed = frozenset(host.encode() for host in settings.allowed_hosts)

    def serve(self, request: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request means us."""
        if not self._allowed:
            return True
        host = _one(request, b"host").lower()
        name, colon, port = host.rpartition(b":")
        if colon and port.isdigit():
            host = name
        return host in self._allowed
