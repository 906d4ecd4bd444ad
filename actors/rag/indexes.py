"""The indexes of all guilds in one member, and the thread that owns them.

One thread owns them, so nothing is searched while it changes, and the event loop is never held up
by a search. What takes seconds (learning codes, building an index anew) runs on another thread
beside the searches, and is put in place when it is done.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from actors.index.bases import CompressedBase
from actors.index.dense import Compression
from actors.index.guild import GuildIndex
from actors.index.image import Image
from actors.rag.store import Loaded
from actors.runtime.message import GuildId
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")
_T = TypeVar("_T")


class Indexes:
    """One `GuildIndex` a guild, made when it is first needed."""

    def __init__(self, settings: IndexSettings, dimension: int) -> None:
        self._settings = settings
        self._dimension = dimension
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="index-aside")
        self._indexes: dict[GuildId, GuildIndex] = {}
        self._tended: dict[GuildId, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._indexes)

    @property
    def guilds(self) -> tuple[GuildId, ...]:
        """The guilds that have anything to find."""
        return tuple(self._indexes)

    async def ask(self, guild_id: GuildId, work: Callable[[GuildIndex], _T]) -> _T:
        """Runs ``work`` on a guild's index, on the thread that owns it."""
        return await self._on_thread(lambda: work(self._index(guild_id)))

    async def put(
        self,
        guild_id: GuildId,
        loaded: Sequence[Loaded],
        gone: Collection[str] = (),
        *,
        visible: bool = True,
    ) -> None:
        """Stores sources and takes others out.

        Args:
            guild_id: whose.
            loaded: sources with their passages.
            gone: ids of sources that leave.
            visible: False where a later call, for the last of many, makes them visible.
        """

        def change(index: GuildIndex) -> None:
            for source_id in gone:
                index.remove(source_id)
            index.replace_all(loaded)
            if visible:
                index.commit()

        await self.ask(guild_id, change)

    async def tend(self, guild_id: GuildId) -> None:
        """Begins what an index needs that has grown or lost much; one such work a guild at a time.

        What fails is logged and begun again at the next call; search goes on with what it has.
        """
        index = self._indexes.get(guild_id)
        if index is None or guild_id in self._tended:
            return
        dead_share = index.dead / max(index.passages, self._settings.load_page)
        if dead_share > self._settings.max_dead_share:
            self._start(guild_id, self._compact(guild_id, index))
        elif (compression := await self._on_thread(index.compression)) is not None:
            self._start(guild_id, self._compress(guild_id, index, compression))

    async def tended(self) -> None:
        """Waits until no such work is running."""
        while self._tended:
            await asyncio.wait(self._tended.values())

    async def close(self) -> None:
        """Ends both threads; running work is finished."""
        for task in self._tended.values():
            task.cancel()
        for thread in (self._thread, self._aside):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _compress(
        self, guild_id: GuildId, index: GuildIndex, compression: Compression
    ) -> None:
        """Learns the codes of a large base, then puts it in place."""
        base: CompressedBase | None = None
        try:
            base = await self._beside(compression.build)
        finally:
            await self._on_thread(lambda: index.compress(base))
        _log.info("index_compressed", guild_id=guild_id, passages=index.passages)

    async def _compact(self, guild_id: GuildId, index: GuildIndex) -> None:
        """Builds the index anew without its dead slots, then takes over what came meanwhile."""
        image = await self._on_thread(index.image)
        try:
            fresh = await self._beside(lambda: index.fresh(image))
        finally:
            await self._on_thread(index.release)
        await self._on_thread(lambda: self._exchange(guild_id, image, fresh))
        _log.info("index_compacted", guild_id=guild_id, passages=fresh.passages)

    def _exchange(self, guild_id: GuildId, image: Image, fresh: GuildIndex) -> None:
        fresh.overtake(image, self._indexes[guild_id])
        self._indexes[guild_id] = fresh

    def _index(self, guild_id: GuildId) -> GuildIndex:
        index = self._indexes.get(guild_id)
        if index is None:
            index = GuildIndex(
                self._dimension,
                candidates=self._settings.candidates,
                fold_rows=self._settings.fold_rows,
                compress_rows=self._settings.compress_rows,
            )
            self._indexes[guild_id] = index
        return index

    def _start(self, guild_id: GuildId, work: Coroutine[Any, Any, None]) -> None:
        async def watched() -> None:
            try:
                await work
            except Exception:
                _log.exception("index_not_tended", guild_id=guild_id)
            finally:
                del self._tended[guild_id]

        self._tended[guild_id] = asyncio.create_task(watched())

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _beside(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)
