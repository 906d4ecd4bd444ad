"""The one HTTP client for addresses that somebody else names."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpcore
import httpx

from actors.errors import DeadlineExceeded, DependencyUnavailable, ElderGuildError, Overloaded
from actors.outbound.addresses import Policy, Target
from actors.outbound.backend import PinnedBackend, Resolve, Resolver
from actors.settings import OutboundSettings

_ALWAYS = (
    ("User-Agent", "elders-guild"),
    ("Accept-Encoding", "identity"),  # a compressed answer could be any size
)


class Unreachable(DependencyUnavailable):
    """Nobody answers there, for a reason that has nothing to do with what was asked."""

    def __str__(self) -> str:
        return self.name


class AnswerTooLarge(ElderGuildError):
    """More was answered than is read."""

    code = "answer_too_large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.max_bytes = max_bytes

    def __str__(self) -> str:
        return f"the answer is larger than {self.max_bytes} bytes"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, redirects included: nobody follows them.

    Attributes:
        headers: by name in lower case; several of one name are joined by a comma.
        body: empty where it was not wanted.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound:
    """Sends requests to allowed addresses, within bounds. One for a process, shared.

    It follows no redirect, keeps no cookie, and knows no proxy, whatever the environment says. An
    answer's ``Location`` may be sent again: it is judged like any other URL.

    Args:
        settings: what is allowed, and all bounds.
        resolve: what a name leads to; default the system's resolver.
        network: what connects to an address; default the real one.
    """

    def __init__(
        self,
        settings: OutboundSettings,
        *,
        resolve: Resolve | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._settings = settings
        self._policy = Policy(settings)
        self._resolver = Resolver(settings.resolver_threads)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trust(settings.ca_file),
            max_connections=settings.max_connections,
            max_keepalive_connections=settings.max_idle_connections,
            keepalive_expiry=settings.idle_s,
            network_backend=PinnedBackend(
                self._policy,
                resolve or self._resolver,
                tried=settings.addresses_tried,
                network=network,
            ),
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        """Sends one request and returns its answer, whatever its status.

        Args:
            method: such as ``POST``.
            url: where to.
            headers: besides those of the client itself.
            body: what is sent.
            timeout_s: for everything, from the name to the last byte; default as settings say.
            max_bytes: of the answer's body; default as settings say. 0: the body is not wanted;
                then the status counts, even where the body is endless.

        Raises:
            AddressRefused: it is nothing that we call; nobody was.
            Unreachable: no connection, or it broke.
            DeadlineExceeded: no answer in time; it may have been handled.
            AnswerTooLarge: the body is longer than wanted.
            Overloaded: all connections are in use.
        """
        target = self._policy.target(url)
        bound = self._settings.max_answer_bytes if max_bytes is None else max_bytes
        allowed_s = self._settings.timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(allowed_s):
                with self._understood():
                    return await self._exchange(method, target, headers, body, allowed_s, bound)
        except TimeoutError:
            raise DeadlineExceeded("the answer") from None

    async def close(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()
        self._resolver.close()

    async def _exchange(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        max_bytes: int,
    ) -> Answer:
        url = httpcore.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        )
        connect_s = min(self._settings.connect_timeout_s, timeout_s)
        times = {"connect": connect_s, "pool": connect_s, "read": timeout_s, "write": timeout_s}
        async with self._pool.stream(
            method,
            url,
            headers=[("Host", target.authority), *_ALWAYS, *headers.items()],
            content=body,
            extensions={"timeout": times},
        ) as response:
            if max_bytes:
                kept = await _read(response, max_bytes)
            else:
                kept = b""
                await self._pass_over(response)
            return Answer(response.status, _by_name(response), kept)

    async def _pass_over(self, response: httpcore.Response) -> None:
        """Reads a short body, because a connection can be used again only after its end."""
        with contextlib.suppress(AnswerTooLarge, TimeoutError, httpcore.NetworkError,
                                 httpcore.ProtocolError, httpcore.TimeoutException):  # fmt: skip
            async with asyncio.timeout(self._settings.unread_s):
                await _read(response, self._settings.unread_bytes)

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """The client's failures in our words."""
        try:
            yield
        except httpcore.PoolTimeout:
            raise Overloaded(self._settings.retry_after_s, "the outbound client") from None
        except httpcore.ConnectTimeout:
            raise Unreachable("no connection in time") from None
        except httpcore.ConnectError as error:
            raise Unreachable(_why(error)) from None
        except httpcore.TimeoutException:
            raise DeadlineExceeded("the answer") from None
        except (httpcore.NetworkError, httpcore.ProtocolError):
            raise Unreachable("the connection broke") from None


async def _read(response: httpcore.Response, max_bytes: int) -> bytes:
    kept = bytearray()
    async for chunk in response.aiter_stream():
        kept += chunk
        if len(kept) > max_bytes:
            raise AnswerTooLarge(max_bytes)
    return bytes(kept)


def _by_name(response: httpcore.Response) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _why(error: BaseException | None) -> str:
    """The cause at the bottom, in a few words that hold nothing of the other side's."""
    while error is not None:
        match error:
            case ssl.SSLCertVerificationError():
                return "its certificate is not valid for this name"
            case ssl.SSLError():
                return "no TLS connection"
            case socket.gaierror():
                return "the name cannot be resolved now"
            case ConnectionRefusedError():
                return "the connection is refused"
        error = error.__cause__ or error.__context__
    return "no connection"


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
