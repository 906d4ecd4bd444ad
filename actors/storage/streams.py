"""The live tail on Redis Streams: a hint that something happened, never the truth of it.

The log in PostgreSQL is the truth. Redis may be slow, wiped or away at any time; then hints are
lost, nobody waits for them, and everything goes on at the pace of polling.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from actors.events import StoredEvent
from actors.settings import RouterSettings

_log = structlog.get_logger("elders_guild.streams")

# What a Redis that is away, slow or confused raises here.
_AWAY = (RedisError, OSError, TimeoutError)


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


class LiveTail:
    """The router's side: appends what it has read, when Redis is there."""

    def __init__(self, url: str, settings: RouterSettings) -> None:
        self._settings = settings
        self._client = connect(url, settings)
        self._waiting: deque[StoredEvent] = deque(maxlen=settings.stream_max_length)
        self._arrived = asyncio.Event()
        self._away = False
        self.appended = 0

    def offer(self, events: Sequence[StoredEvent]) -> None:
        """Takes events to be shown. Never blocks; the oldest are dropped when too many wait."""
        if not self._away:
            self._waiting.extend(events)
            self._arrived.set()

    async def run(self) -> None:
        """Appends until cancelled. While Redis is away, events are dropped, not kept."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                try:
                    await self._append_waiting()
                except _AWAY as error:
                    await self._wait_out(error)
        finally:
            with contextlib.suppress(*_AWAY):
                await self._client.aclose()

    async def _append_waiting(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), self._settings.read_batch)
            async with self._client.pipeline(transaction=False) as pipeline:
                for _ in range(count):
                    pipeline.xadd(
                        self._settings.stream_key,
                        _entry(self._waiting.popleft()),
                        maxlen=self._settings.stream_max_length,
                        approximate=True,
                    )
                await pipeline.execute()
            self.appended += count

    async def _wait_out(self, error: BaseException) -> None:
        _log.warning("live_tail_away", reason=type(error).__name__)
        self._away = True
        self._waiting.clear()
        while self._away:
            await asyncio.sleep(self._settings.stream_retry_s)
            with contextlib.suppress(*_AWAY):
                await self._client.ping()
                self._away = False
        _log.info("live_tail_back")


def _entry(event: StoredEvent) -> dict[Any, Any]:
    return {
        "id": event.event_id,
        "type": event.type,
        "guild": event.guild_id,
        "aggregate": event.aggregate_id,
        "position": str(event.position),
    }


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
