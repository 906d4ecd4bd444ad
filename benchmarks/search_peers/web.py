"""A contender that is asked over HTTP."""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence

import httpx
import numpy as np

from benchmarks.search_peers import Turn, Within
from benchmarks.search_peers.asking import in_other_process, post
from benchmarks.vectors.model import Matrix

_MODULE = "benchmarks.search_peers.asking"
_TIMEOUT_S = 60.0
_AT_ONCE = 4

Bodies = Callable[[Within], Sequence[bytes]]
RowsOf = Callable[[bytes], list[int]]
Token = Callable[[], str]


def encoded(vector: Matrix) -> str:
    """Base64 of little-endian float32."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def decoded(text: str) -> Matrix:
    """What `encoded` made of a vector."""
    return np.frombuffer(base64.b64decode(text), "<f4")


class WebPeer:
    """Requests are made before a turn, so that no client pays for them.

    Args:
        bodies: one a query.
        rows_of: reads the rows that a reply names.
        token: one that lives as long as a turn; "": none is asked for.
    """

    def __init__(
        self,
        port: int,
        path: str,
        *,
        bodies: Bodies,
        rows_of: RowsOf,
        within: Sequence[Within] = tuple(Within),
        settings: Mapping[str, str | int | float] | None = None,
        token: Token = str,
    ) -> None:
        self.within = within
        self.settings = settings or {}
        self._port = port
        self._path = path
        self._bodies = bodies
        self._rows_of = rows_of
        self._token = token

    async def found(self, within: Within) -> list[list[int]]:
        """See `Peer.found`."""
        token = await asyncio.to_thread(self._token)
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        slots = asyncio.Semaphore(_AT_ONCE)
        url = f"http://127.0.0.1:{self._port}{self._path}"
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, headers=headers) as http:

            async def one(body: bytes) -> list[int]:
                async with slots:
                    answer = await http.post(url, content=body)
                return self._rows_of(answer.raise_for_status().content)

            return await asyncio.gather(*(one(body) for body in self._bodies(within)))

    async def measure(self, turn: Turn) -> Mapping[str, float]:
        """See `Peer.measure`."""
        token = await asyncio.to_thread(self._token)
        requests = [
            post(self._port, self._path, body, token=token) for body in self._bodies(turn.within)
        ]
        return await in_other_process(
            _MODULE, requests, turn.seconds, port=self._port, clients=turn.clients
        )
