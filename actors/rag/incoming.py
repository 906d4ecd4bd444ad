"""What the log says, as the indexes take it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from actors import events
from actors.events import StoredEvent
from actors.index.passage import Passage
from actors.rag import domain, projection
from actors.rag.domain import Indexed
from actors.rag.store import Loaded, RagStore
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings
from actors.storage.frontier import Frontier
from actors.storage.log import Advance, Page
from actors.storage.unread import Mention

Rows = Callable[[GuildId, Collection[str]], Awaitable[list[Loaded]]]
"""Sources as they are stored; those that have left are not among them."""

_OTHERS = ("sage.knowledge.", "sage.incident.", "sage.task.")


class Log(Protocol):
    """The event log, across guilds."""

    async def advance(self, frontiers: Sequence[Frontier], limit: int) -> Sequence[Advance]:
        """Everything visible behind each frontier."""
        ...

    async def ahead(
        self, guild_id: GuildId, frontier: Frontier, upto: Position, limit: int
    ) -> Page:
        """What one guild has at or below ``upto`` that the frontier does not cover."""
        ...

    async def mentions(
        self, frontier: Frontier, types: Collection[str], limit: int
    ) -> Sequence[Mention]:
        """The events of these types that the frontier does not cover."""
        ...

    async def end(self) -> Position:
        """A position such that every event below it can be read now."""
        ...


class Changes(NamedTuple):
    """What a batch of events changes.

    Attributes:
        loaded: sources with their passages, as they are now.
        gone: ids of sources that have left.
        positions: of the last event about each source.
    """

    loaded: Sequence[Loaded]
    gone: Collection[str]
    positions: Mapping[str, Position]


class Incoming:
    """Own events say which rows to read; the others' are applied as they will be stored.

    So a task is found at the position of its creation, and not only when the router has brought it
    to the RAG pool. A source that has left and come back is read again: the rows may be ahead of
    the events, never behind.

    Args:
        store: what the projection has stored.
        rows: what is to be found, with the vectors that it is to be found by.
        settings: sizes.
    """

    def __init__(self, store: RagStore, rows: Rows, settings: IndexSettings) -> None:
        self._store = store
        self._rows = rows
        self._settings = settings

    async def read(self, guild_id: GuildId, batch: Sequence[StoredEvent]) -> Changes:
        """What these events of one guild change."""
        own = {
            event.payload.source_id: event.position
            for event in batch
            if isinstance(event.payload, events.DocumentIndexed | events.DocumentDeleted)
        }
        ahead, present = await self._ahead(guild_id, batch)
        others = {event.aggregate_id: event.position for event in batch}
        wanted = own.keys() | present
        loaded = await self._rows(guild_id, wanted) if wanted else []
        gone = wanted - {source.source_id for source, _ in loaded}
        for source_id, source in ahead.items():
            if source.removed:
                gone.add(source_id)
            else:
                loaded.append((domain.searchable(source), self._passages_of(source, batch)))
        return Changes(loaded, gone, others | own)

    async def _ahead(
        self, guild_id: GuildId, batch: Sequence[StoredEvent]
    ) -> tuple[dict[str, Indexed], set[str]]:
        """The sources as the projection will store them, and those it has stored already."""
        ahead: dict[str, Indexed] = {}
        present: set[str] = set()
        for event in batch:
            if not event.type.startswith(_OTHERS):
                continue
            source_id = event.aggregate_id
            before = ahead.get(source_id) or await self._store.source(guild_id, source_id)
            after = projection.project(before, event, self._settings.max_source_chars)
            if after is not None:
                ahead[source_id] = after
            elif before is not None and source_id not in ahead:
                present.add(source_id)
        return ahead, present - ahead.keys()

    def _passages_of(self, source: Indexed, batch: Sequence[StoredEvent]) -> list[Passage]:
        at = next(
            event.occurred_at
            for event in reversed(batch)
            if event.aggregate_id == source.source_id and event.aggregate_version == source.version
        )
        return [
            domain.passage_of(chunk)
            for chunk in domain.chunks(source, self._settings.chunk_max_words, at)
        ]
