"""A Redis Stream on Valkey through the official client, with an append-only file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import redis.asyncio

from benchmarks.event_logs.drafts import Draft
from benchmarks.event_logs.lanes import Lanes

_KEY = "bench:events"
_CONNECTIONS = 32

Sync = Literal["always", "everysec"]


class StreamLog:
    """A `Log` that is a stream in memory and in a file."""

    def __init__(self, clients: "Lanes[redis.asyncio.Redis]") -> None:
        self._clients = clients

    async def write(self, drafts: Sequence[Draft]) -> None:
        """One command, or many in one go."""
        async with self._clients.one() as client:
            if len(drafts) == 1:
                (draft,) = drafts
                await client.xadd(_KEY, _entry(draft))
                return
            async with client.pipeline(transaction=False) as pipeline:
                for draft in drafts:
                    pipeline.xadd(_KEY, _entry(draft))
                await pipeline.execute()


def _entry(draft: Draft) -> dict[Any, Any]:
    return {"id": draft.source_id, "key": draft.key, "data": draft.data}


@asynccontextmanager
async def stream_log(url: str, sync: Sync) -> AsyncIterator[StreamLog]:
    """A stream of its own, gone afterwards."""
    clients = [
        redis.asyncio.Redis.from_url(url, single_connection_client=True)
        for _ in range(_CONNECTIONS)
    ]
    try:
        await clients[0].config_set("appendfsync", sync)
        for client in clients:
            await client.ping()
        try:
            yield StreamLog(Lanes(clients))
        finally:
            await clients[0].delete(_KEY)
    finally:
        for client in clients:
            await client.aclose()
