"""Every guild's index in one member: loaded at start, then kept up with the log."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

import structlog

from actors import events
from actors.embedding.identity import MINILM_DIMENSION
from actors.errors import DependencyUnavailable, ElderGuildError, StaleIndex
from actors.events import StoredEvent
from actors.index.checksum import Checksum
from actors.index.guild import GuildIndex
from actors.index.passage import Passage
from actors.rag import domain, projection
from actors.rag.dense_backlog import DenseBacklog
from actors.rag.domain import Indexed
from actors.rag.indexes import Indexes
from actors.rag.snapshots import Snapshots
from actors.rag.store import Loaded, RagStore
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings
from actors.storage.frontier import Frontier
from actors.storage.log import Advance, Page
from actors.storage.unread import Mention

_log = structlog.get_logger("elders_guild.rag")
_T = TypeVar("_T")

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


class Library:
    """The indexes of all guilds, and how far into the log they are.

    Args:
        store: where the passages are.
        log: what changed.
        settings: sizes and pauses.
        dimension: of the embedder's vectors.
        snapshots: where a start may begin; None: always at the database.

    Attributes:
        dimension: of the vectors.
    """

    def __init__(
        self,
        store: RagStore,
        log: Log,
        settings: IndexSettings,
        dimension: int = MINILM_DIMENSION,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.dimension = dimension
        self._store = store
        self._log = log
        self._settings = settings
        self._snapshots = snapshots
        self._indexes = Indexes(settings, dimension)
        self._dense: defaultdict[GuildId, DenseBacklog] = defaultdict(DenseBacklog)
        self._frontier: Frontier | None = None
        self._advanced = asyncio.Condition()
        self._changing = asyncio.Lock()
        self._removed_ahead: set[Position] = set()
        self._waiting = 0
        self._hurry = asyncio.Event()

    @property
    def position(self) -> Position | None:
        """Everything up to here is searchable by its words; None: not loaded yet."""
        return None if self._frontier is None else self._frontier.settled

    def dense_position(self, guild_id: GuildId) -> Position | None:
        """Everything of the guild up to here is searchable by its meaning, too."""
        position = self.position
        return None if position is None else self._dense[guild_id].reached(position)

    @property
    def guilds(self) -> tuple[GuildId, ...]:
        """The guilds that have anything to find."""
        return self._indexes.guilds

    async def ask(self, guild_id: GuildId, work: Callable[[GuildIndex], _T]) -> _T:
        """Runs ``work`` on a guild's index, on the thread that owns it.

        Raises:
            DependencyUnavailable: the indexes are not loaded yet.
        """
        if self._frontier is None:
            raise DependencyUnavailable("the index")
        return await self._indexes.ask(guild_id, work)

    async def removed(self) -> Mapping[GuildId, frozenset[str]]:
        """Ids of the sources that have left by now and that the indexes may still hold.

        Raises:
            DependencyUnavailable: the log cannot be asked, or the indexes are not loaded yet.
        """
        if self._frontier is None:
            raise DependencyUnavailable("the index")
        gone: defaultdict[GuildId, set[str]] = defaultdict(set)
        for one in await self._log.mentions(
            self._frontier, projection.REMOVALS, self._settings.tail_batch
        ):
            if one.position not in self._removed_ahead:
                gone[one.guild_id].add(projection.source_id_of(one.aggregate_id))
        return {guild_id: frozenset(ids) for guild_id, ids in gone.items()}

    async def reach(
        self,
        guild_id: GuildId,
        wanted: Position | None,
        *,
        dense: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Waits until everything of the guild up to ``wanted`` is searchable.

        What is not there in time, because others have written much, is read out of turn.

        Args:
            guild_id: whose.
            wanted: of a write; None: whatever there is.
            dense: by its meaning as well.
            timeout_s: instead of ``position_wait_s``.

        Raises:
            StaleIndex: it took longer.
        """
        if wanted is None:
            return
        patience_s = self._settings.position_wait_s if timeout_s is None else timeout_s
        if await self._waited(lambda: self._has(guild_id, wanted, dense), patience_s):
            return
        ahead = not self._covers(wanted) and await self._fetch_ahead(guild_id, wanted)
        if ahead and not (dense and not self._dense[guild_id].has(wanted)):
            return
        reached = self.dense_position(guild_id) if dense else self.position
        raise StaleIndex(str(wanted), str(reached))

    async def load(self) -> None:
        """Makes every guild's index, from its snapshot or from the rows.

        What changed since, or changes meanwhile, is read by `follow`.
        """
        end = await self._log.end()
        start = end
        for guild_id in await self._store.guilds():
            start = min(start, await self._load_guild(guild_id, end))
            await self._indexes.tend(guild_id)
        await self._advance(Frontier.at(start))
        _log.info("index_loaded", guilds=len(self._indexes), position=str(start), end=str(end))

    async def verify(self, guild_id: GuildId) -> bool:
        """Whether the index holds what the rows say, vectors included.

        Only meaningful while nobody writes: what changes between the two readings differs.
        """
        wanted = Checksum(guild_id)
        async for page in self._pages(guild_id):
            for source, passages in page:
                wanted.add(source, passages)
        held = await self.ask(guild_id, lambda index: _checksum(guild_id, index))
        return (held.value, held.passages) == (wanted.value, wanted.passages)

    async def keep_snapshots(self) -> None:
        """Writes what is due, for ever."""
        while True:
            await asyncio.sleep(self._settings.snapshot_poll_s)
            for guild_id in self.guilds:
                try:
                    await self.save(guild_id)
                except Exception:  # a bug: the start will read the rows
                    _log.exception("snapshot_failed", guild_id=guild_id)

    async def save(self, guild_id: GuildId) -> bool:
        """Writes a guild's snapshot where one is due; whether it did."""
        passages = await self.ask(guild_id, lambda index: index.passages)
        if self._snapshots is None or not self._snapshots.due(guild_id, passages):
            return False
        async with self._changing:  # what is applied and the position belong together
            position = self.position
            index, image = await self.ask(guild_id, lambda index: (index, index.image()))
        try:
            if position is not None:
                await self._snapshots.save(guild_id, image, position)
        finally:
            await self.ask(guild_id, lambda _: index.release())  # it may be another by now
        return True

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
        frontier = self._frontier
        if frontier is None:
            raise DependencyUnavailable("the index")
        (page,) = await self._log.advance([frontier], self._settings.tail_batch)
        by_guild: dict[GuildId, list[StoredEvent]] = {}
        for event in page.events:
            by_guild.setdefault(event.guild_id, []).append(event)
        for guild_id, found in by_guild.items():
            await self._apply(guild_id, found)
            await self._indexes.tend(guild_id)
        await self._advance(page.frontier)
        return page.full

    async def close(self) -> None:
        """Ends the index threads; running work is finished."""
        await self._indexes.close()

    async def _load_guild(self, guild_id: GuildId, end: Position) -> Position:
        """Fills one guild's index; up to where the log is in it."""
        kept = None if self._snapshots is None else await self._snapshots.load(guild_id, end)
        if kept is not None:
            await self._indexes.put(guild_id, kept.loaded)
            self._note(guild_id, kept.loaded, defaultdict(lambda: kept.position))
            return kept.position
        async for page in self._pages(guild_id):
            await self._indexes.put(guild_id, page, visible=False)
            self._note(guild_id, page, defaultdict(lambda: end))
        await self._indexes.put(guild_id, ())
        return end

    async def _pages(self, guild_id: GuildId) -> AsyncIterator[list[Loaded]]:
        after = ""
        while page := await self._store.page(guild_id, after, self._settings.load_page):
            yield page
            if len(page) < self._settings.load_page:
                return
            after = page[-1][0].source_id

    def _has(self, guild_id: GuildId, wanted: Position, dense: bool) -> bool:
        return self._covers(wanted) and (not dense or self._dense[guild_id].has(wanted))

    def _covers(self, wanted: Position) -> bool:
        return self._frontier is not None and self._frontier.covers(wanted)

    async def _waited(self, done: Callable[[], bool], patience_s: float) -> bool:
        if done():
            return True
        self._waiting += 1
        self._hurry.set()
        try:
            async with asyncio.timeout(patience_s), self._advanced:
                await self._advanced.wait_for(done)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def _fetch_ahead(self, guild_id: GuildId, wanted: Position) -> bool:
        """Applies what the guild wrote up to ``wanted`` before its turn; False: it is too much.

        Vectors come with it from the database, so both legs are exact for it.
        """
        frontier = self._frontier
        if frontier is None or wanted.epoch != frontier.upto.epoch:
            return False
        page = await self._log.ahead(guild_id, frontier, wanted, self._settings.tail_batch)
        if page.full or not page.events or page.events[-1].position.xid < wanted.xid:
            return False  # the last: nobody has written that position
        await self._apply(guild_id, page.events)
        self._removed_ahead.update(
            event.position for event in page.events if event.type in projection.REMOVALS
        )
        return True

    async def _apply(self, guild_id: GuildId, batch: Sequence[StoredEvent]) -> None:
        """Own events say which rows to read; the others' are applied as they will be stored.

        So a task is found at the position of its creation, and not only when the router has
        brought it to the RAG pool. A source that has left and come back is read again: the rows
        may be ahead of the events, never behind.
        """
        async with self._changing:  # both the tail and those who read ahead of it come here
            own = {
                event.payload.source_id: event.position
                for event in batch
                if isinstance(event.payload, events.DocumentIndexed | events.DocumentDeleted)
            }
            ahead, present = await self._ahead(guild_id, batch)
            others = {event.aggregate_id: event.position for event in batch}
            wanted = own.keys() | present
            loaded = await self._store.load(guild_id, sorted(wanted)) if wanted else []
            gone = wanted - {source.source_id for source, _ in loaded}
            early: list[Loaded] = []
            for source_id, source in ahead.items():
                if source.removed:
                    gone.add(source_id)
                else:
                    early.append((domain.searchable(source), self._passages_of(source, batch)))
            if loaded or gone or early:
                await self._put(guild_id, [*loaded, *early], others | own, gone)

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

    async def _put(
        self,
        guild_id: GuildId,
        loaded: Sequence[Loaded],
        positions: Mapping[str, Position],
        gone: Collection[str] = (),
    ) -> None:
        """Into the index, and who waits for a vector is noted with the position of its cause."""
        await self._indexes.put(guild_id, loaded, gone)
        self._note(guild_id, loaded, positions, gone)

    def _note(
        self,
        guild_id: GuildId,
        loaded: Sequence[Loaded],
        positions: Mapping[str, Position],
        gone: Collection[str] = (),
    ) -> None:
        dense = self._dense[guild_id]
        for source_id in gone:
            dense.done(source_id)
        for source, passages in loaded:
            if all(passage.vector is not None for passage in passages):
                dense.done(source.source_id)
            else:
                dense.waits(source.source_id, positions[source.source_id])

    async def _advance(self, frontier: Frontier) -> None:
        self._removed_ahead = {one for one in self._removed_ahead if not frontier.covers(one)}
        async with self._advanced:
            self._frontier = frontier
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


def _checksum(guild_id: GuildId, index: GuildIndex) -> Checksum:
    held = Checksum(guild_id)
    for source, passages in index.image().loaded():
        held.add(source, passages)
    index.release()
    return held
