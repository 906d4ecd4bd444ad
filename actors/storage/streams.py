"""The live tail on Redis Streams: a hint that something happened, never the truth of it.

The log in PostgreSQL is the truth. Redis may be slow, wiped or away at any time; then hints are
lost, nobody waits for them, and everything goes on at the pace of polling.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from actors.errors import ElderGuildError
from actors.events import StoredEvent
from actors.runtime.message import Position
from actors.settings import RouterSettings
from actors.storage.database import Database

_log = structlog.get_logger("elders_guild.streams")

# What a Redis that is away, slow or confused raises here.
_AWAY = (RedisError, OSError, TimeoutError)

_RECENT = """
SELECT event_id, type, guild_id, aggregate_id, xid::text AS xid, seq
FROM events ORDER BY events.xid DESC, events.seq DESC LIMIT $1
"""

# Many entries in one command: as commands of their own the driver takes ten times as long.
_APPEND = """
for at = 2, #ARGV, 5 do
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'id', ARGV[at],
               'type', ARGV[at + 1], 'guild', ARGV[at + 2], 'aggregate', ARGV[at + 3],
               'position', ARGV[at + 4])
end
return redis.call('XLEN', KEYS[1])
"""


def connect(url: str, settings: RouterSettings, *, blocks: bool = False) -> "Redis":
    """A client that fails fast: no retries of its own, a timeout on everything.

    Args:
        url: where Redis is.
        settings: timeouts.
        blocks: replies may be long in coming, because the server is asked to wait; then the caller
            bounds each read instead of the socket.
    """
    client: Redis = Redis.from_url(
        url,
        protocol=3,
        decode_responses=True,
        socket_timeout=None if blocks else settings.stream_timeout_s,
        socket_connect_timeout=settings.stream_timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=2,
    )
    return client


@dataclass(frozen=True, slots=True)
class Line:
    """What the tail says of one event."""

    event_id: str
    type: str
    guild_id: str
    aggregate_id: str
    position: Position


Recent = Callable[[int], Awaitable[Sequence[Line]]]
"""The newest lines of the log, at most so many, oldest first."""


async def recent(database: Database, limit: int) -> list[Line]:
    """A `Recent` over the log; needs the role ``guild_log``."""
    async with database.across_guilds() as tx:
        rows = await tx.fetch(_RECENT, limit)
    return [
        Line(
            row["event_id"],
            row["type"],
            row["guild_id"],
            row["aggregate_id"],
            Position(int(row["xid"]), row["seq"], database.epoch),
        )
        for row in reversed(rows)
    ]


async def _nothing(_: int) -> Sequence[Line]:
    return ()


class LiveTail:
    """The router's side: appends what it has read, when Redis is there.

    A stream that has lost entries, because Redis was wiped or away, is made whole again from the
    log and put in place at once: readers never see it half filled.

    Args:
        url: where Redis is.
        settings: numbers of the router.
        recent: where lost entries come from; by default they stay lost.

    Attributes:
        appended: entries of this router's life, those made again included.
    """

    def __init__(self, url: str, settings: RouterSettings, recent: Recent = _nothing) -> None:
        self.appended = 0
        self._settings = settings
        self._recent = recent
        self._client = connect(url, settings)
        self._waiting: deque[StoredEvent] = deque(maxlen=settings.stream_max_length)
        self._arrived = asyncio.Event()
        self._away = False
        self._mend_at: float | None = 0.0
        self._length = 0

    def offer(self, events: Sequence[StoredEvent]) -> None:
        """Takes events to be shown. Never blocks; the oldest are dropped when too many wait."""
        if not self._away:
            self._waiting.extend(events)
            self._arrived.set()

    async def run(self) -> None:
        """Appends until cancelled. While Redis is away events are dropped: the log has them."""
        try:
            while True:
                try:
                    await self._show()
                except _AWAY as error:
                    await self._wait_out(error)
        finally:
            with contextlib.suppress(*_AWAY):
                await self._client.aclose()

    async def _show(self) -> None:
        while True:
            _stay_cancelled()
            if self._mend_at is not None and self._mend_at <= asyncio.get_running_loop().time():
                await self._mend()
            await self._append_waiting()
            await asyncio.sleep(self._settings.stream_rest_s)  # what comes meanwhile goes together
            await self._until_arrived()
            if not self._waiting:
                self._notice_loss(await self._client.xlen(self._settings.stream_key))

    async def _until_arrived(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stream_retry_s):
                await self._arrived.wait()
        self._arrived.clear()

    async def _append_waiting(self) -> None:
        lost = False
        while self._waiting and not lost:
            count = min(len(self._waiting), self._settings.read_batch)
            lines = [_line(self._waiting.popleft()) for _ in range(count)]
            lost = self._notice_loss(await self._append(self._settings.stream_key, lines))

    async def _append(self, key: str, lines: Sequence[Line]) -> int:
        """Appends and answers how long the stream is."""
        told = [part for line in lines for part in _told(line)]
        length: int = await self._client.eval(
            _APPEND, 1, key, self._settings.stream_max_length, *told
        )
        self.appended += len(lines)
        self._length += len(lines)
        return length

    def _notice_loss(self, length: int) -> bool:
        # Trimming never goes below the maximum, and nobody else removes anything.
        lost = length < min(self._length, self._settings.stream_max_length)
        if lost:
            _log.warning("live_tail_lost_entries", length=length, expected=self._length)
            self._mend_at = 0.0
            self._arrived.set()
        self._length = length
        return lost

    async def _mend(self) -> None:
        """Adds what is missing at the end, or makes the whole stream again."""
        try:
            lines = await self._recent(self._settings.stream_max_length)
        except ElderGuildError as error:
            _log.warning("live_tail_not_refilled", code=error.code)
            now = asyncio.get_running_loop().time()
            self._mend_at = now + self._settings.stream_retry_s
            return  # new entries go on being shown meanwhile
        key = self._settings.stream_key
        self._length = await self._client.xlen(key)
        shown = await self._newest_shown()
        if lines and shown is not None and self._length >= len(lines):
            await self._append_all(key, [line for line in lines if line.position > shown])
        elif lines:
            await self._replace(lines)
        known = {line.event_id for line in lines}
        unseen = [event for event in self._waiting if event.event_id not in known]
        self._waiting.clear()
        self._waiting.extend(unseen)
        self._mend_at = None

    async def _newest_shown(self) -> Position | None:
        newest: Any = await self._client.xrevrange(self._settings.stream_key, count=1)
        try:
            return Position.parse(newest[0][1]["position"]) if newest else None
        except (KeyError, ValueError):  # somebody else's entry
            return None

    async def _replace(self, lines: Sequence[Line]) -> None:
        key = self._settings.stream_key
        beside = f"{key}:refill"
        await self._client.delete(beside)
        self._length = 0
        await self._append_all(beside, lines)
        await self._client.rename(beside, key)
        _log.info("live_tail_refilled", entries=len(lines))

    async def _append_all(self, key: str, lines: Sequence[Line]) -> None:
        for begin in range(0, len(lines), self._settings.read_batch):
            await self._append(key, lines[begin : begin + self._settings.read_batch])

    async def _wait_out(self, error: BaseException) -> None:
        _log.warning("live_tail_away", reason=type(error).__name__)
        self._away = True
        self._mend_at = 0.0
        self._waiting.clear()
        while self._away:
            await asyncio.sleep(self._settings.stream_retry_s)
            with contextlib.suppress(*_AWAY):
                await self._client.ping()
                self._away = False
        _log.info("live_tail_back")


def _stay_cancelled() -> None:
    """The client waits by ``asyncio.wait_for``, which in Python 3.11 can swallow a cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _line(event: StoredEvent) -> Line:
    return Line(event.event_id, event.type, event.guild_id, event.aggregate_id, event.position)


def _told(line: Line) -> tuple[str, str, str, str, str]:
    return line.event_id, line.type, line.guild_id, line.aggregate_id, str(line.position)


class WakeUp:
    """A consumer's side: returns early from a pause when the log has grown.

    Use it in place of ``asyncio.sleep`` in a loop that polls the log. One task uses one.
    """

    def __init__(self, url: str, settings: RouterSettings) -> None:
        self._settings = settings
        self._client = connect(url, settings, blocks=True) if url else None
        self._last_id = "$"
        self._retry_at = 0.0

    async def wait(self, timeout_s: float) -> bool:
        """Waits for a new entry, at most ``timeout_s``; just sleeps while Redis is away.

        Entries that came between two calls count as new. A hint can be lost or too much: true
        says that reading now is worthwhile, false says nothing.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        if self._client is not None and loop.time() >= self._retry_at:
            try:
                async with asyncio.timeout(timeout_s + self._settings.stream_timeout_s):
                    return await self._read(self._client, timeout_s)
            except _AWAY:
                self._retry_at = loop.time() + self._settings.stream_retry_s
        await asyncio.sleep(max(0.0, ends_at - loop.time()))
        return False

    async def close(self) -> None:
        """Closes the connection."""
        if self._client is not None:
            with contextlib.suppress(*_AWAY):
                await self._client.aclose()

    async def _read(self, client: "Redis", timeout_s: float) -> bool:
        key = self._settings.stream_key
        if self._last_id == "$":
            # "$" means "from now on" anew in each call; a fixed id leaves no gap between calls.
            newest = await client.xrevrange(key, count=1)
            self._last_id = str(newest[0][0]) if newest else "0-0"
        block_ms = max(1, int(timeout_s * 1000))
        answer = await client.xread({key: self._last_id}, count=1000, block=block_ms)
        if not answer:
            return False
        streams = answer.values() if isinstance(answer, dict) else (one[1] for one in answer)
        for entries in streams:
            self._last_id = _last(entries) or self._last_id
        return True


def _last(entries: Any) -> str | None:
    """The newest id of what XREAD gave for one stream; RESP3 nests it one list deeper."""
    while entries and isinstance(entries[-1], list):
        entries = entries[-1]
    return entries[-1][0] if entries else None
