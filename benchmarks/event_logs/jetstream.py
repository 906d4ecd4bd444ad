"""NATS JetStream through its official client, one connection, acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import nats
from nats.js.api import StorageType, StreamConfig
from nats.js.client import JetStreamContext

from benchmarks.event_logs.drafts import Draft

_STREAM, _SUBJECTS = "EVENTS", "events.>"
_MAX_PENDING = 4_000


class JetStreamLog:
    """A `Log` that is a stream in files."""

    def __init__(self, stream: JetStreamContext) -> None:
        self._stream = stream

    async def write(self, drafts: Sequence[Draft]) -> None:
        """Sends all, then waits for each one's acknowledgement."""
        if len(drafts) == 1:
            (draft,) = drafts
            await self._stream.publish(f"events.{draft.key}", draft.data.encode())
            return
        sent = [
            await self._stream.publish_async(f"events.{draft.key}", draft.data.encode())
            for draft in drafts
        ]
        await asyncio.gather(*sent)


@asynccontextmanager
async def jetstream_log(url: str) -> AsyncIterator[JetStreamLog]:
    """A stream of its own, gone afterwards."""
    client = await nats.connect(url)
    stream = client.jetstream(publish_async_max_pending=_MAX_PENDING)
    try:
        await stream.add_stream(
            StreamConfig(name=_STREAM, subjects=[_SUBJECTS], storage=StorageType.FILE)
        )
        try:
            yield JetStreamLog(stream)
        finally:
            await stream.delete_stream(_STREAM)
    finally:
        await client.close()
