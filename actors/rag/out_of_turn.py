"""What searchers wait for and others' events stand before is read out of turn, once for all."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from actors.events import StoredEvent
from actors.rag import projection
from actors.rag.incoming import Log
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings
from actors.storage.frontier import Frontier

Apply = Callable[[GuildId, Sequence[StoredEvent]], Awaitable[None]]
"""Brings the indexes of a guild up to events, which they may have been told before."""


class OutOfTurn:
    """How far each guild was read before the tail of the log got there.

    Who comes while a guild is being read waits for that, and what was read is not read again.

    Args:
        log: what changed.
        apply: takes what was read.
        settings: sizes.
    """

    def __init__(self, log: Log, apply: Apply, settings: IndexSettings) -> None:
        self._log = log
        self._apply = apply
        self._settings = settings
        self._frontiers: dict[GuildId, Frontier] = {}
        self._removed: set[Position] = set()
        self._running: dict[GuildId, asyncio.Task[bool]] = {}

    def covers(self, guild_id: GuildId, wanted: Position) -> bool:
        """Whether what the guild wrote at this position was read before its turn."""
        frontier = self._frontiers.get(guild_id)
        return frontier is not None and frontier.covers(wanted)

    def took_out(self, position: Position) -> bool:
        """Whether the removal that stands there has left the indexes already."""
        return position in self._removed

    def passed(self, tail: Frontier) -> None:
        """The tail is here now: what it has come up with is forgotten."""
        for guild_id in [one for one, at in self._frontiers.items() if at.upto <= tail.upto]:
            del self._frontiers[guild_id]
        self._removed = {one for one in self._removed if not tail.covers(one)}

    async def read(self, guild_id: GuildId, tail: Frontier, wanted: Position) -> None:
        """Reads what the guild wrote; up to ``wanted`` unless that is too much, or takes too long.

        What was read of too much stays, so the next one goes on from there.

        Raises:
            ElderGuildError: the log or the rows cannot be read.
        """
        if wanted.epoch != tail.upto.epoch:
            return
        try:
            async with asyncio.timeout(self._settings.ahead_timeout_s):
                for _ in range(2):  # the first may have begun before that was written
                    more = await asyncio.shield(self._begun(guild_id, tail))
                    if more or self.covers(guild_id, wanted):
                        return
        except TimeoutError:
            return

    def stop(self) -> None:
        """Ends what is being read."""
        for task in self._running.values():
            task.cancel()

    def _begun(self, guild_id: GuildId, tail: Frontier) -> "asyncio.Task[bool]":
        """What reads the guild at this moment. Whoever waits for it may leave, it goes on."""
        running = self._running.get(guild_id)
        if running is None:
            # A context of its own: the deadline of who came first must not bound the others.
            running = asyncio.create_task(self._read(guild_id, tail), context=Context())
            self._running[guild_id] = running
            running.add_done_callback(lambda task: self._ended(guild_id, task))
        return running

    def _ended(self, guild_id: GuildId, task: "asyncio.Task[bool]") -> None:
        del self._running[guild_id]
        if not task.cancelled():
            task.exception()  # who waits is told; it may be that nobody does any more

    async def _read(self, guild_id: GuildId, tail: Frontier) -> bool:
        """Applies the next page; whether there may be more."""
        start = self._frontiers.get(guild_id, tail)
        page = await self._log.ahead(guild_id, start, self._settings.tail_batch)
        await self._apply(guild_id, page.events)
        self._removed.update(event.position for event in page.events if projection.leaves(event))
        self._frontiers[guild_id] = page.frontier
        return page.full
