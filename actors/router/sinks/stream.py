"""A Redis Stream as a sink, for other services to read.

Delivered is what Redis has answered. At least once: when an answer is lost its entries are added
again, and ``source`` and ``id`` of an entry say that it is known. The stream is trimmed, and lost
with Redis; a replay of the subscription fills it again from the log.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from actors import cloudevents
from actors.errors import DependencyUnavailable
from actors.events import StoredEvent
from actors.router.pace import Pace
from actors.settings import RouterSettings
from actors.storage.streams import connect

_AWAY = (RedisError, OSError, TimeoutError)
_CONNECTIONS = 2  # as many as `connect` opens


class StreamWriter:
    """The router's one way into Redis, for all of its streams."""

    def __init__(self, url: str, settings: RouterSettings) -> None:
        self._client = connect(url, settings) if url else None
        self._turn = asyncio.Semaphore(_CONNECTIONS)

    async def append(self, key: str, entries: Sequence[Mapping[str, str]], max_length: int) -> None:
        """Adds entries in their order, and trims the stream to about ``max_length``.

        Raises:
            DependencyUnavailable: Redis did not answer, or not to all of them; some may be there.
        """
        if self._client is None:
            raise DependencyUnavailable("redis")
        async with self._turn:
            try:
                async with self._client.pipeline(transaction=False) as pipeline:
                    for entry in entries:
                        fields: dict[Any, Any] = dict(entry)
                        pipeline.xadd(key, fields, maxlen=max_length, approximate=True)
                    await pipeline.execute()
            except _AWAY:
                raise DependencyUnavailable("redis") from None

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            with contextlib.suppress(*_AWAY):
                await self._client.aclose()


class StreamSink:
    """Adds events to one stream of their guild, ``guild:<guild_id>:<stream>``.

    Args:
        writer: shared by all streams.
        stream: its name within the guild.
        max_length: about how many entries stay.
        settings: bounds.
        pace: when Redis is left alone; of this sink alone.
    """

    def __init__(
        self,
        writer: StreamWriter,
        stream: str,
        max_length: int,
        settings: RouterSettings,
        pace: Pace,
    ) -> None:
        self.batch = settings.stream_batch
        self.pace = pace
        self._writer = writer
        self._stream = stream
        self._max_length = max_length

    async def deliver(self, delivery: str, events: Sequence[StoredEvent], timeout_s: float) -> None:
        """Returns after Redis has answered for every entry.

        Raises:
            DependencyUnavailable: Redis is away.
        """
        key = f"guild:{events[0].guild_id}:{self._stream}"
        await self._writer.append(key, [_entry(event) for event in events], self._max_length)

    async def close(self) -> None:
        """The writer is shared: it stays open."""


def _entry(event: StoredEvent) -> dict[str, str]:
    return {
        "id": event.source_id or event.event_id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject or "",
        "position": str(event.position),
        "event": cloudevents.structured(event).decode(),
    }
