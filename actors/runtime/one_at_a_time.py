"""Messages of one key run one after the other, in the order they came."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress


class OneAtATime:
    """A lock per key that exists only while somebody holds or awaits it.

    Its size is bounded by the messages that whoever uses it lets in.

    Attributes:
        waiting: how many await their turn.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self.waiting = 0

    def __len__(self) -> int:
        """How many keys are held now."""
        return len(self._waiting)

    @asynccontextmanager
    async def turn(self, key: Hashable | None) -> AsyncIterator[None]:
        """Waits for the key's turn, first come first served; None never waits."""
        if key is None:
            yield
            return
        await self._acquire(key)
        try:
            yield
        finally:
            self._release(key)

    async def _acquire(self, key: Hashable) -> None:
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(key)  # it was handed to us while we were being cancelled
            with suppress(ValueError):  # it may have been passed over already
                queue.remove(turn)
            raise
        finally:
            self.waiting -= 1

    def _release(self, key: Hashable) -> None:
        queue = self._waiting[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]
