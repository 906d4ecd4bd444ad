"""What the log says, as the indexes take it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from actors import events
from actors.events import StoredEvent
from actors.index.passage import Passage
from actors.rag import domain, projection
from actors.rag.ahead import Ahead
from actors.rag.domain import Indexed
from actors.rag.store import Loaded, RagStore
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings
from actors.storage.frontier import Frontier
from actors.storage.log import Advance
from actors.storage.unread import Mention

Rows = Callable[[GuildId, Collection[str]], Awaitable[list[Loaded]]]
"""Sources as they are stored; those that have left are not among them."""

_OTHERS = ("sage.knowledge.", "sage.incident.", "sage.task.")


class Log(Protocol):
    """The event log, across guilds."""

    async def advance(self, frontiers: Sequence[Frontier], limit: int) -> Sequence[Advance]:
        """Everything visible behind each frontier."""
        ...

    async def ahead(self, guild_id: GuildId, frontier: Frontier, limit: int) -> Advance:
        """What is visible of one guild behind the frontier; that of the answer is this guild's."""
        ...

    async def mentions(
        self,
        frontier: Frontier,
        types: Collection[str],
        limit: int,
        closing: Collection[str] = (),
    ) -> Sequence[Mention]:
        """The events of these types that the frontier does not cover; see `unread.mentions`."""
        ...

    async def reached(self, subscription: str) -> Position | None:
        """Everything at or below it the subscription has dealt with; None: nobody can tell."""
        ...

    async def end(self) -> Position:
        """A position such that every event below it can be read now."""
        ...


class Changes(NamedTuple):
    """What a batch of events changes.

    Attributes:
        loaded: sources with their passages, as they are now.
        gone: ids of sources that have left.
        positions: of the first event about each source: behind it the source may wait already.
    """

    loaded: Sequence[Loaded]
    gone: Collection[str]
    positions: Mapping[str, Position]


class Incoming:
    """Own events say which rows to read; the others' are applied as they will be stored.

    So a task is found at the position of its creation, and not only when the router has brought it
    to the RAG pool. A row that the projection has not brought up to what was read here is left
    alone. A source that has left and come back is read again: the rows may be ahead of the events.

    Args:
        store: what the projection has stored.
        rows: what is to be found, with the vectors that it is to be found by.
        ahead: what was read here and is not stored yet.
        settings: sizes.
    """

    def __init__(self, store: RagStore, rows: Rows, ahead: Ahead, settings: IndexSettings) -> None:
        self._store = store
        self._rows = rows
        self._ahead = ahead
        self._settings = settings

    async def read(self, guild_id: GuildId, batch: Sequence[StoredEvent]) -> Changes:
        """What these events of one guild change; a repeat says the same."""
        own = {
            event.payload.source_id
            for event in batch
            if isinstance(event.payload, events.DocumentIndexed | events.DocumentDeleted)
        }
        others = [event for event in batch if event.type.startswith(_OTHERS)]
        present = await self._project(guild_id, others, own)
        touched = own | {event.aggregate_id for event in others}
        ahead = self._ahead.known(guild_id, touched)
        wanted = own.union(present) - ahead.keys()
        loaded = await self._rows(guild_id, wanted) if wanted else []
        gone = wanted - {source.source_id for source, _ in loaded}
        for source_id, source in ahead.items():
            if source.removed:
                gone.add(source_id)
            else:
                loaded.append((domain.searchable(source), self._passages_of(source)))
        positions = {
            projection.source_id_of(event.aggregate_id): event.position for event in reversed(batch)
        }
        return Changes(loaded, gone, positions)

    async def _project(
        self, guild_id: GuildId, others: Sequence[StoredEvent], own: Collection[str]
    ) -> Collection[str]:
        """Notes what the projection will store; which of these sources have a row by now."""
        ids = {event.aggregate_id for event in others} | self._ahead.known(guild_id, own).keys()
        rows = await self._store.sources(guild_id, sorted(ids)) if ids else {}
        self._ahead.stored(guild_id, rows)
        for event in others:
            source_id = event.aggregate_id
            before = self._ahead.of(guild_id, source_id) or rows.get(source_id)
            after = projection.ahead(before, event, self._settings.max_source_chars)
            if after is not None:
                unknown = before is None and after.removed
                self._ahead.note(guild_id, after, event.position if unknown else None)
        return rows.keys()

    def _passages_of(self, source: Indexed) -> list[Passage]:
        return [
            domain.passage_of(chunk)
            for chunk in domain.chunks(source, self._settings.chunk_max_words, source.changed_at)
        ]
