"""Every guild's index in one member: loaded at start, then kept up with the log.

One thread owns the indexes, so nothing is searched while it changes, and the event loop is never
held up by a search.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

import structlog

from actors import events
from actors.embedding.model import DIMENSION
from actors.errors import DependencyUnavailable, ElderGuildError, StaleIndex
from actors.events import StoredEvent
from actors.index.guild import GuildIndex
from actors.index.passage import Passage
from actors.rag import domain, projection
from actors.rag.domain import Indexed
from actors.rag.store import Loaded, RagStore
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings
from actors.storage.log import Page

_log = structlog.get_logger("elders_guild.rag")
_T = TypeVar("_T")

_OTHERS = ("sage.knowledge.", "sage.incident.", "sage.task.")


class Log(Protocol):
    """The event log, across guilds, in an order in which nothing appears behind the reader."""

    async def scan(self, after: Position, limit: int) -> Page:
        """The next stretch behind ``after``."""
        ...

    async def end(self) -> Position:
        """A position such that every event below it can be read now."""
        ...


class Library:
    """The indexes of all guilds, and how far into the log they are.

    Args:
        store: where the passages are.
        log: what changed.
        settings: sizes and pauses.
    """

    def __init__(self, store: RagStore, log: Log, settings: IndexSettings) -> None:
        self._store = store
        self._log = log
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._indexes: dict[GuildId, GuildIndex] = {}
        self._position: Position | None = None
        self._advanced = asyncio.Condition()
        self._waiting = 0
        self._hurry = asyncio.Event()

    @property
    def position(self) -> Position | None:
        """Everything up to here is searchable by its words; None: not loaded yet."""
        return self._position

    @property
    def guilds(self) -> tuple[GuildId, ...]:
        """The guilds that have anything to find."""
        return tuple(self._indexes)

    async def ask(self, guild_id: GuildId, work: Callable[[GuildIndex], _T]) -> _T:
        """Runs ``work`` on a guild's index, on the thread that owns it.

        Raises:
            DependencyUnavailable: the indexes are not loaded yet.
        """
        if self._position is None:
            raise DependencyUnavailable("the index")
        return await self._on_thread(lambda: work(self._index(guild_id)))

    async def reach(self, wanted: Position | None) -> None:
        """Waits until everything up to ``wanted`` is searchable by its words.

        Raises:
            StaleIndex: it took longer than ``position_wait_s``.
        """
        if wanted is None or (self._position is not None and self._position >= wanted):
            return
        self._waiting += 1
        self._hurry.set()
        try:
            async with asyncio.timeout(self._settings.position_wait_s), self._advanced:
                await self._advanced.wait_for(
                    lambda: self._position is not None and self._position >= wanted
                )
        except TimeoutError:
            raise StaleIndex(str(wanted), str(self._position)) from None
        finally:
            self._waiting -= 1

    async def load(self) -> None:
        """Reads every guild's passages; what changes meanwhile is read again by `follow`."""
        start = await self._log.end()
        for guild_id in await self._store.guilds():
            await self._load_guild(guild_id)
        await self._advance(start)
        _log.info("index_loaded", guilds=len(self._indexes), position=str(start))

    async def follow(self) -> None:
        """Keeps up with the log, for ever. A failed read is tried again after the pause."""
        while True:
            try:
                behind = await self.catch_up()
            except ElderGuildError as error:
                _log.warning("tail_waits", code=error.code)
                behind = False
            except Exception:  # a bug: said aloud, and the index says where it stands
                _log.exception("tail_failed")
                behind = False
            if not behind:
                await self._pause()

    async def catch_up(self) -> bool:
        """Applies the next batch of events; whether there may be more."""
        after = self._position
        if after is None:
            raise DependencyUnavailable("the index")
        page = await self._log.scan(after, self._settings.tail_batch)
        by_guild: dict[GuildId, list[StoredEvent]] = {}
        for event in page.events:
            by_guild.setdefault(event.guild_id, []).append(event)
        for guild_id, found in by_guild.items():
            await self._apply(guild_id, found)
        await self._advance(page.end)
        return page.full

    async def close(self) -> None:
        """Ends the index thread; running work is finished."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _load_guild(self, guild_id: GuildId) -> None:
        after = ""
        while True:
            page = await self._store.page(guild_id, after, self._settings.load_page)
            await self._on_thread(partial(self._put, guild_id, page))
            if len(page) < self._settings.load_page:
                return
            after = page[-1][0].source_id

    async def _apply(self, guild_id: GuildId, batch: Sequence[StoredEvent]) -> None:
        """Own events say which rows to read; the others' are applied as they will be stored.

        So a task is found at the position of its creation, and not only when the router has
        brought it to the RAG pool.
        """
        stored, removed = _announced(batch)
        ahead, present = await self._ahead(guild_id, batch)
        stored |= present - removed
        loaded = await self._store.load(guild_id, sorted(stored)) if stored else []
        gone = (stored | removed) - {source.source_id for source, _ in loaded}
        early: list[Loaded] = []
        for source_id, source in ahead.items():
            if source.removed:
                gone.add(source_id)
            else:
                early.append((domain.searchable(source), self._passages_of(source, batch)))
        if loaded or gone or early:
            await self._on_thread(lambda: self._put(guild_id, [*loaded, *early], gone))

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
            Passage(
                chunk_id=chunk.chunk_id,
                position=chunk.position,
                heading=chunk.heading,
                text=chunk.text,
                char_start=chunk.char_start,
                char_end=chunk.char_end,
            )
            for chunk in domain.chunks(source, self._settings.chunk_max_words, at)
        ]

    def _index(self, guild_id: GuildId) -> GuildIndex:
        index = self._indexes.get(guild_id)
        if index is None:
            index = GuildIndex(
                DIMENSION,
                candidates=self._settings.candidates,
                fold_rows=self._settings.fold_rows,
                compress_rows=self._settings.compress_rows,
            )
            self._indexes[guild_id] = index
        return index

    def _put(self, guild_id: GuildId, loaded: Sequence[Loaded], gone: Iterable[str] = ()) -> None:
        index = self._index(guild_id)
        for source_id in gone:
            index.remove(source_id)
        for source, passages in loaded:
            index.replace(source, passages)
        index.commit()
        if index.dead > self._settings.max_dead_share * max(
            index.passages, self._settings.load_page
        ):
            self._indexes[guild_id] = index.compacted()

    async def _advance(self, position: Position) -> None:
        async with self._advanced:
            self._position = position
            self._advanced.notify_all()

    async def _pause(self) -> None:
        """Between two looks at the log; short while somebody waits for it."""
        if self._waiting:
            await asyncio.sleep(self._settings.tail_hurry_s)
            return
        self._hurry.clear()
        try:
            async with asyncio.timeout(self._settings.tail_poll_s):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _announced(batch: Sequence[StoredEvent]) -> tuple[set[str], set[str]]:
    """Ids of the sources that were stored, and of those that left, by their last event."""
    stored: set[str] = set()
    removed: set[str] = set()
    for event in batch:
        match event.payload:
            case events.DocumentIndexed(source_id=source_id):
                stored.add(source_id)
                removed.discard(source_id)
            case events.DocumentDeleted(source_id=source_id):
                removed.add(source_id)
                stored.discard(source_id)
    return stored, removed
