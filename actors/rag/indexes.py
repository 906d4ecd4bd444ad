"""The indexes of one member, by guild and shard, and the thread that owns them.

One thread owns them, so nothing is searched while it changes, and the event loop is never held up
by a change. What takes seconds (learning codes, building an index anew) runs on another thread
beside the searches, and is put in place when it is done.

While that thread has nothing to do the event loop owns them: only it hands out work. A short search
then takes place at once, without two threads passing the interpreter to and fro for it.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from actors import metrics
from actors.errors import DependencyUnavailable
from actors.index.codes import Codes
from actors.index.guild import GuildIndex
from actors.index.image import Image
from actors.rag import placement
from actors.rag.models import Models
from actors.rag.placement import ShardKey
from actors.rag.store import Loaded
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")
_T = TypeVar("_T")


class BrokenIndex(DependencyUnavailable):
    """A change of an index failed halfway, so it is no more; the rows have everything."""


class Indexes:
    """One `GuildIndex` a shard of a guild, made when it is first needed.

    Attributes:
        broken: the shards whose index was lost when a change failed; nobody may ask them until
            they are let go and filled anew.
    """

    def __init__(self, settings: IndexSettings, models: Models) -> None:
        self._settings = settings
        self._models = models
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="index-aside")
        self._indexes: dict[ShardKey, GuildIndex] = {}
        self._too_large: set[ShardKey] = set()
        self._tended: dict[ShardKey, asyncio.Task[None]] = {}
        self._failed_at: dict[ShardKey, float] = {}
        self._on_their_way = 0  # works that the thread has not finished
        self._closed = False
        self.broken: set[ShardKey] = set()

    def __len__(self) -> int:
        return len(self._indexes)

    def measure(self) -> None:
        """Shows how large the largest shard is, and says once of each that it is too large."""
        present = list(self._indexes.items())  # the other thread may add one meanwhile
        if not present:
            return
        key, index = max(present, key=lambda one: one[1].passages)
        passages, most = index.passages, self._settings.max_shard_vectors
        metrics.INDEX_LARGEST_SHARD.set(passages)
        if passages > most and key not in self._too_large:
            self._too_large.add(key)
            wanted = placement.shards_wanted(passages * self._settings.shards, most)
            advice = "set index.shards, the same for all, and start the RAG members again"
            _log.warning(
                "shard_too_large", **key._asdict(), passages=passages, wanted=wanted, advice=advice
            )

    async def ask(self, key: ShardKey, work: Callable[[GuildIndex], _T]) -> _T:
        """Runs ``work`` on a shard's index: at once if nothing stands before it and it is small.

        Args:
            key: the shard.
            work: no longer than a search; what takes longer is for `examine`.

        Raises:
            BrokenIndex: there is none that could be asked.
        """
        if self._settings.shards > 1:
            await asyncio.sleep(0)  # the other shards that are held are asked at the same moment
        if self._on_their_way or self._closed or not self._is_small(key):
            return await self.examine(key, work)
        return self._asked(key, work)

    async def examine(self, key: ShardKey, work: Callable[[GuildIndex], _T]) -> _T:
        """Runs ``work`` on a shard's index, on the thread that owns it.

        Raises:
            BrokenIndex: there is none that could be asked.
        """
        return await self._on_thread(lambda: self._asked(key, work))

    async def run(self, work: Callable[[], _T]) -> _T:
        """Runs ``work`` on the thread that owns the indexes."""
        return await self._on_thread(work)

    async def drop(self, key: ShardKey) -> list[str]:
        """Lets a shard go, after the searches that have begun; the ids of its sources."""

        def forget() -> list[str]:
            index = self._indexes.pop(key, None)
            self.broken.discard(key)
            return [] if index is None else index.source_ids()

        return await self._on_thread(forget)

    async def put(
        self,
        key: ShardKey,
        loaded: Sequence[Loaded],
        gone: Collection[str] = (),
        *,
        visible: bool = True,
    ) -> None:
        """Stores sources and takes others out.

        Args:
            key: the shard that they all belong to.
            loaded: sources with their passages.
            gone: ids of sources that leave.
            visible: False where a later call, for the last of many, makes them visible.

        Raises:
            BrokenIndex: the index was lost over it.
        """

        def change() -> None:
            index = self._index(key)
            try:
                for source_id in gone:
                    index.remove(source_id)
                index.replace_all(loaded)
                if visible:
                    index.commit()
            except BaseException as error:  # a panic of tantivy's is no Exception
                self.broken.add(key)
                self._indexes.pop(key, None)
                _log.error("index_lost", **key._asdict(), exc_info=error)
                raise BrokenIndex("the index") from error

        await self._on_thread(change)

    def empty(self, dimension: int) -> GuildIndex:
        """A new index for vectors of this dimension, not in place yet."""
        return GuildIndex(
            dimension,
            candidates=self._settings.candidates,
            fold_rows=self._settings.fold_rows,
            compress_rows=self._settings.compress_rows,
        )

    async def swap(self, key: ShardKey, successor: Callable[[GuildIndex], GuildIndex]) -> None:
        """Puts another index in the place of a shard's, between two searches."""

        def exchange() -> None:
            self._indexes[key] = successor(self._index(key))

        await self._on_thread(exchange)

    async def beside(self, work: Callable[[], _T]) -> _T:
        """Runs what takes long on the thread beside the searches."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    async def tend(self, key: ShardKey) -> None:
        """Begins what an index needs that has grown or lost much; one such work a shard at a time.

        What fails is logged and begun again after a pause; search goes on with what it has.
        """
        index = self._indexes.get(key)
        if index is None or key in self._tended or self._pauses(key):
            return
        dead_share = index.dead / max(index.passages, self._settings.load_page)
        if dead_share > self._settings.max_dead_share:
            self._start(key, self._compact(key, index))
        elif index.wants_codes:
            self._start(key, self._compress(key, index))

    async def tended(self) -> None:
        """Waits until no such work is running."""
        while self._tended:
            await asyncio.wait(self._tended.values())

    async def close(self) -> None:
        """Ends both threads; running work is finished."""
        self._closed = True
        for task in self._tended.values():
            task.cancel()
        for thread in (self._thread, self._aside):
            thread.shutdown(wait=False, cancel_futures=True)

    def _pauses(self, key: ShardKey) -> bool:
        failed_at = self._failed_at.get(key)
        return failed_at is not None and time.monotonic() < failed_at + self._settings.tend_retry_s

    async def _compress(self, key: ShardKey, index: GuildIndex) -> None:
        """Learns the codes of many vectors, then puts them in place."""
        compression = await self._on_thread(index.compression)
        if compression is None:
            return
        codes: Codes | None = None
        try:
            codes = await self.beside(compression.build)
        finally:
            await self._on_thread(lambda: index.compress(codes))
        _log.info("index_compressed", **key._asdict(), passages=index.passages)

    async def _compact(self, key: ShardKey, index: GuildIndex) -> None:
        """Builds the index anew without its dead slots, then takes over what came meanwhile."""
        image = await self._on_thread(index.image)
        fresh = await self.beside(lambda: index.fresh(image))
        await self._on_thread(lambda: self._exchange(key, image, index, fresh))
        _log.info("index_compacted", **key._asdict(), passages=fresh.passages)

    def _exchange(self, key: ShardKey, image: Image, former: GuildIndex, fresh: GuildIndex) -> None:
        if self._indexes.get(key) is former:  # else the shard was let go meanwhile
            fresh.overtake(image, former)
            self._indexes[key] = fresh

    def _is_small(self, key: ShardKey) -> bool:
        """Whether a search of it takes no longer than a millisecond or two."""
        index = self._indexes.get(key)
        return index is None or (
            index.passages + index.dead <= self._settings.search_at_once_passages
            and index.compares <= self._settings.search_at_once_numbers
        )

    def _asked(self, key: ShardKey, work: Callable[[GuildIndex], _T]) -> _T:
        if key in self.broken:
            raise BrokenIndex("the index")
        return work(self._index(key))

    def _index(self, key: ShardKey) -> GuildIndex:
        index = self._indexes.get(key)
        if index is None:
            index = self._indexes[key] = self.empty(self._models.held(key).dimension)
        return index

    def _start(self, key: ShardKey, work: Coroutine[Any, Any, None]) -> None:
        async def watched() -> None:
            try:
                await work
                self._failed_at.pop(key, None)
            except Exception:
                self._failed_at[key] = time.monotonic()
                _log.exception("index_not_tended", **key._asdict())
            finally:
                self._tended.pop(key, None)

        self._tended[key] = asyncio.create_task(watched())

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        running = self._thread.submit(work)
        self._on_their_way += 1
        try:
            return await asyncio.wrap_future(running)
        finally:
            if running.done():
                self._on_their_way -= 1
            else:  # who waited has left, and the work goes on
                loop = asyncio.get_running_loop()
                running.add_done_callback(lambda _: self._hear(loop))

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the thread: the end of a work that nobody waits for."""
        with suppress(RuntimeError):  # the loop has ended before the work
            loop.call_soon_threadsafe(self._finished)

    def _finished(self) -> None:
        self._on_their_way -= 1
