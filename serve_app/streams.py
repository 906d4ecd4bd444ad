"""How many event streams a replica feeds, and how all of them end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from actors import metrics
from actors.runtime.message import Caller
from actors.settings import GatewaySettings
from serve_app.problems import Problem, retry_after

Address = tuple[str, int]
Stopping = Callable[[Address], Awaitable[bool]]
"""Whether the server that listens at an address is about to stop."""


class Streams:
    """The open streams of one replica. A stream holds a connection and a tail of the bus.

    A server that stops waits for its requests. Streams would keep it waiting until it is killed,
    so while there are any it is asked whether it stops, and then all of them end.
    """

    def __init__(self, settings: GatewaySettings, stopping: Stopping | None = None) -> None:
        """No stream is open.

        Args:
            settings: bounds.
            stopping: None: the server ends its requests by itself.
        """
        self._settings = settings
        self._stopping = stopping
        self._open: set[asyncio.Event] = set()
        self._of: Counter[tuple[str, str]] = Counter()
        self._over = False
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @contextmanager
    def place(self, caller: Caller, server: Address | None = None) -> Iterator[asyncio.Event]:
        """A place for one stream; it has to end when the event is set.

        Args:
            caller: whose stream.
            server: at which address it came in.

        Raises:
            Problem: 429 where this caller has enough, 503 where all places are taken.
        """
        who = (caller.guild_id, caller.principal_id)
        if self._of[who] >= self._settings.max_streams_each:
            raise self._refusal(429, f"you have {self._of[who]} event streams open; close one")
        if self._over or len(self._open) >= self._settings.max_streams:
            raise self._refusal(503, "all event streams are taken; try again soon")
        ending = asyncio.Event()
        self._open.add(ending)
        self._of[who] += 1
        self._watch(server)
        metrics.EVENT_STREAMS.set(len(self._open))
        try:
            yield ending
        finally:
            self._open.discard(ending)
            self._of[who] -= 1
            self._of += Counter()  # forgets who has none
            if not self._open and self._watching is not None:
                self._watching.cancel()
                self._watching = None
            metrics.EVENT_STREAMS.set(len(self._open))

    def end(self) -> None:
        """Ends all of them, and there will be no others here."""
        self._over = True
        for ending in self._open:
            ending.set()

    def _watch(self, server: Address | None) -> None:
        if self._stopping is not None and server is not None and self._watching is None:
            watching = self._until_it_stops(self._stopping, server)
            self._watching = asyncio.create_task(watching)

    async def _until_it_stops(self, stopping: Stopping, server: Address) -> None:
        while True:
            if await stopping(server):
                self.end()
                return
            await asyncio.sleep(self._settings.stopping_poll_s)

    def _refusal(self, status: int, detail: str) -> Problem:
        headers = retry_after(self._settings.retry_after_s)
        if self._over:
            headers["Connection"] = "close"  # the next one shall reach another server
        return Problem(status, detail, headers=headers)
