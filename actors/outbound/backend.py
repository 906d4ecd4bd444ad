"""Connections to checked addresses: a name is resolved once, judged, and that answer is used.

This stands below the HTTP client, where connections are made, so nothing that it is asked for,
whether first or again, goes around it. TLS above still asks for the name and checks it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

import httpcore

from actors.outbound.addresses import Policy

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, best first; empty where there is no such name.

Raises ``OSError`` when nobody can say now.
"""

_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class Resolver:
    """The system's resolver, on threads of its own: a name that hangs holds up no database."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolver")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Asks once; waiting for it can be given up, the thread then ends by itself."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                return ()
            raise
        return tuple(dict.fromkeys(str(place[0]) for *_, place in found))

    def close(self) -> None:
        """Takes no more questions."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for an HTTP pool; a host that is not allowed gets none.

    Args:
        policy: which addresses are.
        resolve: what a name leads to.
        tried: how many of its addresses, one after the other.
        network: what connects to an address; default the real one.
    """

    def __init__(
        self,
        policy: Policy,
        resolve: Resolve,
        *,
        tried: int,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._tried = tried
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolves, judges and connects, all of it within ``timeout``.

        Raises:
            AddressRefused: the host leads somewhere we do not go; nothing was connected.
            httpcore.ConnectError: nobody takes the connection.
            httpcore.ConnectTimeout: it took too long.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses(host, port)
                self._policy.check(host, addresses)
                return await self._first(addresses[: self._tried], port, timeout)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        try:
            return await self._resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError("the name cannot be resolved now") from error

    async def _first(
        self, addresses: Sequence[str], port: int, timeout: float | None
    ) -> httpcore.AsyncNetworkStream:
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, timeout=share)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(addresses[-1], port, timeout=timeout)
