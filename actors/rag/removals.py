"""What has left by now, asked once for all who want to know."""

import asyncio
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass

from actors.errors import ElderGuildError
from actors.rag.library import Library
from actors.runtime.message import GuildId

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Left:
    """The sources that must not be shown.

    Attributes:
        source_ids: what has left and may still be in the index.
        known: False where the database did not answer; then the index alone says what is there.
    """

    source_ids: frozenset[str]
    known: bool


class Removals:
    """Asks the log what has left since the indexes read it.

    An answer serves everybody who came before the question was put: a search is never told what
    was true before it began, and a hundred searches at once cost one statement.
    """

    def __init__(self, library: Library, timeout_s: float) -> None:
        self._library = library
        self._timeout_s = timeout_s
        self._running: asyncio.Task[Mapping[GuildId, frozenset[str]]] | None = None
        self._next: asyncio.Task[Mapping[GuildId, frozenset[str]]] | None = None

    async def of(self, guild_id: GuildId) -> Left:
        """What has left the guild by now."""
        if self._next is None:
            # A context of its own: the deadline of who came first must not bound the others.
            self._next = asyncio.create_task(self._after(self._running), context=Context())
        try:
            found = await asyncio.shield(self._next)
        except (ElderGuildError, TimeoutError):
            return Left(_NOTHING, known=False)
        return Left(found.get(guild_id, _NOTHING), known=True)

    async def _after(
        self, previous: "asyncio.Task[Mapping[GuildId, frozenset[str]]] | None"
    ) -> Mapping[GuildId, frozenset[str]]:
        if previous is not None:
            await asyncio.wait([previous])
        self._running, self._next = self._next, None  # who comes now needs another answer
        async with asyncio.timeout(self._timeout_s):
            return await self._library.removed()
