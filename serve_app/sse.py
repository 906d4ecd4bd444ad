"""Server-sent events: how they are written, and what a reader owes.

The format is WHATWG HTML's, https://html.spec.whatwg.org/multipage/server-sent-events.html. An
``id`` without ``data`` tells no event, and still moves the place at which a client resumes.
"""

import asyncio
from collections import deque

import orjson

from actors.errors import ElderGuildError
from actors.runtime.message import Position

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_LARGE = 64 << 10


def opening(resume: Position, retry_s: float) -> bytes:
    """The first lines: from where to resume, and how soon."""
    return b"retry: %d\nid: %s\n\n" % (round(retry_s * 1000), str(resume).encode())


def event(resume: Position, name: str, data: bytes) -> bytes:
    """One event; ``data`` is JSON, where a line break is never but between tokens."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(resume).encode(), name.encode(), data)


def heartbeat(resume: Position) -> bytes:
    """Keeps proxies from closing what is idle."""
    return b": still here\nid: %s\n\n" % str(resume).encode()


def failure(error: ElderGuildError) -> bytes:
    """The last event of a stream that failed; ``retryable``: connecting again may help."""
    told = {"code": error.code, "retryable": error.retryable, "detail": str(error)}
    return b"event: error\ndata: %s\n\n" % orjson.dumps(told)


def comment(text: str) -> bytes:
    """Words for a person who watches."""
    return b": %s\n\n" % text.encode()


class SlowReader(Exception):
    """The reader owes all it may, and has taken nothing for too long."""


class Owed:
    """What a reader has not taken yet. One task puts, another one takes."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._frames: deque[bytes] = deque()
        self._under_way: tuple[int, int] = (0, 0)
        self._events = self._bytes = 0
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """How many are owed, with those that are being sent."""
        return self._events

    async def put(self, frame: bytes, patience_s: float) -> None:
        """Adds a frame as soon as there is room for it.

        Raises:
            SlowReader: nothing was taken for so long.
        """
        while self._events and (
            self._events >= self._most or self._bytes + len(frame) > self._most_bytes
        ):
            owed = self._events
            try:
                async with asyncio.timeout(patience_s):
                    while self._events == owed:
                        await self._change()
            except TimeoutError:
                raise SlowReader from None
        self._frames.append(frame)
        self._events += 1
        self._bytes += len(frame)
        self._changed.set()

    async def take(self) -> bytes | None:
        """The next bytes to send; what was taken before has been sent. None: that was all."""
        events, size = self._under_way
        self._events -= events
        self._bytes -= size
        self._under_way = (0, 0)
        self._changed.set()
        while not self._frames:
            if self._closed:
                return None
            await self._change()
        taken: list[bytes] = []
        size = 0
        while self._frames and size < _LARGE:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self._under_way = (len(taken), size)
        return b"".join(taken)

    def close(self) -> None:
        """Nothing follows."""
        self._closed = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
