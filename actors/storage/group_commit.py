"""Who waits for a commit at the same moment shares one transaction, and with it one fsync."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from actors.errors import ElderGuildError, Overloaded, VersionConflict
from actors.runtime.message import GuildId

ItemT = TypeVar("ItemT")
DoneT = TypeVar("DoneT")

Write = Callable[[GuildId, Sequence[ItemT]], Awaitable[Sequence[DoneT]]]
"""One transaction: answers one entry for each item, in order, after the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """Bounds of one `GroupCommit`.

    Attributes:
        what: is refused when too much waits; for the caller to read.
        items: of one commit.
        size_bytes: of one commit.
        in_flight: commits at one time.
        patience_s: how long a guild's commit may take until it has another one for less than a
            full group.
        waiting: items not yet committed.
        attempts: at one commit that loses races.
        retry_after_s: what a caller who is refused is advised.
        waiting_bytes: not yet committed; a request that finds nothing waiting may be larger.
    """

    what: str
    items: int
    size_bytes: int
    in_flight: int
    patience_s: float
    waiting: int
    attempts: int
    retry_after_s: float
    waiting_bytes: int


class GroupCommit(Generic[ItemT, DoneT]):
    """Queues requests by guild and commits what waits together.

    There are no timers: a lone request is committed at once, and groups form of what arrives while
    a commit is under way. A commit costs about the same whatever it holds, so a guild has another
    one beside it only when that would be full, or when the first one takes long. A request is never
    divided, so it is written whole or not at all.
    """

    def __init__(self, write: Write[ItemT, DoneT], limits: GroupLimits) -> None:
        self._write = write
        self._limits = limits
        self._queues: dict[GuildId, deque[_Request[ItemT, DoneT]]] = {}
        self._writers: set[asyncio.Task[None]] = set()
        self._begun: dict[GuildId, list[float]] = {}  # the commits under way, oldest first
        self.waiting = 0
        self.waiting_bytes = 0
        self.groups = 0

    async def add(
        self, guild_id: GuildId, items: Sequence[ItemT], size_bytes: int
    ) -> Sequence[DoneT]:
        """Waits for the commit that holds these items.

        A caller who is cancelled before it has begun leaves nothing behind.

        Raises:
            Overloaded: too much waits already; nothing was taken.
            ValidationError: the database refuses an item.
            DependencyUnavailable: it is away. Whether the items are written is then open.
        """
        return await self.put(guild_id, items, size_bytes)

    def put(
        self, guild_id: GuildId, items: Sequence[ItemT], size_bytes: int
    ) -> "asyncio.Future[Sequence[DoneT]]":
        """Like `add`, for whoever waits for several requests; those put together stay in order.

        Raises:
            Overloaded: too much waits already; nothing was taken.
        """
        too_large = self.waiting_bytes + size_bytes > self._limits.waiting_bytes
        if self.waiting + len(items) > self._limits.waiting or (self.waiting and too_large):
            raise Overloaded(self._limits.retry_after_s, self._limits.what)
        request: _Request[ItemT, DoneT] = _Request(items, size_bytes)
        self.waiting += len(items)
        self.waiting_bytes += size_bytes
        self._queues.setdefault(guild_id, deque()).append(request)
        if len(self._writers) < self._limits.in_flight and self._is_due(guild_id):
            # A context of its own: the deadline of one caller must not bound the others.
            task = asyncio.create_task(self._write_waiting(), context=Context())
            self._writers.add(task)
            task.add_done_callback(self._writers.discard)  # also of one that never began
        return request.done

    def _is_due(self, guild_id: GuildId) -> bool:
        """Whether what waits for the guild need not wait for the end of a commit."""
        begun = self._begun.get(guild_id)
        return (
            not begun
            or self.waiting >= self._limits.items
            or self.waiting_bytes >= self._limits.size_bytes
            or begun[-1] + self._limits.patience_s <= asyncio.get_running_loop().time()
        )

    async def _write_waiting(self) -> None:
        """Writes what is due. What is not is left to the writer of its guild's commit."""
        try:
            while (guild_id := next(filter(self._is_due, self._queues), None)) is not None:
                if group := self._taken(guild_id):
                    await self._write_noted(guild_id, group)
        finally:  # at once: who puts next must not count on it
            self._writers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _write_noted(
        self, guild_id: GuildId, group: "Sequence[_Request[ItemT, DoneT]]"
    ) -> None:
        self.groups += 1
        began = asyncio.get_running_loop().time()
        begun = self._begun.setdefault(guild_id, [])
        begun.append(began)
        try:
            await self._write_group(guild_id, group)
        finally:
            begun.remove(began)
            if not begun:
                del self._begun[guild_id]

    def _taken(self, guild_id: GuildId) -> "list[_Request[ItemT, DoneT]]":
        """What waits for a guild, up to the bounds; what is left of it comes after the others."""
        queue = self._queues.pop(guild_id)
        group: list[_Request[ItemT, DoneT]] = []
        items = size_bytes = 0
        while queue:
            request = queue[0]
            items += len(request.items)
            size_bytes += request.size_bytes
            if group and (items > self._limits.items or size_bytes > self._limits.size_bytes):
                self._queues[guild_id] = queue
                break
            queue.popleft()
            self.waiting -= len(request.items)
            self.waiting_bytes -= request.size_bytes
            if not request.done.done():
                group.append(request)
        return group

    async def _write_group(
        self, guild_id: GuildId, group: "Sequence[_Request[ItemT, DoneT]]"
    ) -> None:
        try:
            done = await self._attempt(guild_id, [item for one in group for item in one.items])
        except Exception as error:
            if len(group) == 1 or (isinstance(error, ElderGuildError) and error.retryable):
                for request in group:
                    request.fail(error)
                return
            for request in group:  # one of them is the cause; the others shall not suffer
                await self._write_group(guild_id, [request])
            return
        begin = 0
        for request in group:
            request.finish(done[begin : begin + len(request.items)])
            begin += len(request.items)

    async def _attempt(self, guild_id: GuildId, items: Sequence[ItemT]) -> Sequence[DoneT]:
        for _ in range(self._limits.attempts - 1):
            try:
                return await self._write(guild_id, items)
            except VersionConflict:
                continue  # a later transaction was first at one aggregate: take a newer id
        return await self._write(guild_id, items)


class _Request(Generic[ItemT, DoneT]):
    """What one caller wants written."""

    __slots__ = ("done", "items", "size_bytes")

    def __init__(self, items: Sequence[ItemT], size_bytes: int) -> None:
        self.items = items
        self.size_bytes = size_bytes
        self.done: asyncio.Future[Sequence[DoneT]] = asyncio.get_running_loop().create_future()

    def finish(self, done: Sequence[DoneT]) -> None:
        if not self.done.done():
            self.done.set_result(done)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
