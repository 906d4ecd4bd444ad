"""Connections that are lent, the last returned first: fewer publishers keep to fewer of them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

LaneT = TypeVar("LaneT")


class Lanes(Generic[LaneT]):
    """A pool without the round trips that a driver's own pool makes."""

    def __init__(self, lanes: Iterable[LaneT]) -> None:
        self._idle: asyncio.LifoQueue[LaneT] = asyncio.LifoQueue()
        for lane in lanes:
            self._idle.put_nowait(lane)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[LaneT]:
        """One that nobody else uses meanwhile."""
        lane = await self._idle.get()
        try:
            yield lane
        finally:
            self._idle.put_nowait(lane)
