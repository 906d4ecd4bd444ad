"""A guild has switched its model: its indexes are built anew beside the old ones, then swapped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextvars import Context
from functools import partial

import structlog

from actors.embedding.identity import ModelIdentity
from actors.errors import ElderGuildError
from actors.index.guild import GuildIndex
from actors.rag.holding import Holding
from actors.rag.indexes import Indexes
from actors.rag.models import Models
from actors.rag.placement import ShardKey
from actors.rag.store import Loaded, RagStore
from actors.runtime.message import GuildId
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")

Swapped = Callable[[GuildId, Collection[str], Collection[str]], None]
"""Hears of a new index: whose, the ids of its sources, and of those that wait for vectors."""


class Rebuilding:
    """Until the swap a guild is searched in its former model, after it in the new one.

    All shards that are held are built from one reading of the rows, then swapped one by one.

    Args:
        store: where the new vectors are.
        holding: which shards there are.
        indexes: what is searched.
        models: of the indexes.
        changing: held by whoever changes an index, so that nothing comes between the last look at
            the rows and the swap.
        swapped: hears of a new index.
        settings: sizes and pauses.

    Attributes:
        filling: held by whoever fills indexes from the rows: a shard that is taken meanwhile is in
            the model of before or of after, and known to be.
    """

    def __init__(
        self,
        store: RagStore,
        holding: Holding,
        indexes: Indexes,
        models: Models,
        changing: asyncio.Lock,
        swapped: Swapped,
        settings: IndexSettings,
    ) -> None:
        self._store = store
        self._holding = holding
        self._indexes = indexes
        self._models = models
        self._changing = changing
        self._swapped = swapped
        self._settings = settings
        self.filling = asyncio.Lock()
        self._touched: dict[GuildId, set[str]] = {}
        self._due: set[GuildId] = set()
        self._running: dict[GuildId, asyncio.Task[None]] = {}

    async def begin(self, guild_id: GuildId, *, switched: bool = False) -> None:
        """Starts the work where it is needed; one at a time a guild.

        Args:
            guild_id: whose indexes.
            switched: all vectors are others now, even if the model is the one of the indexes: a
                guild may have gone and come back. Otherwise the models are compared.
        """
        if switched:
            self._due.add(guild_id)
        wanted = await self._wanted(guild_id)
        if wanted is not None and guild_id not in self._running:
            # A context of its own: the deadline of a search that noticed must not bound the work.
            work = asyncio.create_task(self._work(guild_id), context=Context())
            self._running[guild_id] = work

    def touched(self, guild_id: GuildId, source_ids: Collection[str]) -> None:
        """These were read from the rows again: an index that is being built has them older."""
        if (touched := self._touched.get(guild_id)) is not None:
            touched.update(source_ids)

    async def settled(self) -> None:
        """Waits until no index is being built anew."""
        while self._running:
            await asyncio.wait(self._running.values())

    def stop(self) -> None:
        """Ends the works; the present indexes stay."""
        for task in self._running.values():
            task.cancel()

    async def _wanted(self, guild_id: GuildId) -> ModelIdentity | None:
        """The model to build indexes in; None: the present one is right."""
        model = await self._store.model(guild_id)
        if model is None or guild_id in self._due:
            return model
        held = self._holding.held(guild_id)
        return None if self._models.all_are(model, guild_id, held) else model

    async def _work(self, guild_id: GuildId) -> None:
        """Builds until the indexes are the guild's; what fails is tried again after a pause."""
        try:
            while True:
                try:
                    async with self.filling:
                        model = await self._wanted(guild_id)
                        if model is None:
                            return
                        self._due.discard(guild_id)
                        await self._rebuild(guild_id, model)
                except Exception as error:
                    self._due.add(guild_id)
                    if not isinstance(error, ElderGuildError):  # a bug
                        _log.exception("index_rebuild_failed", guild_id=guild_id)
                    else:
                        _log.warning("index_rebuild_waits", guild_id=guild_id, code=error.code)
                    await asyncio.sleep(self._settings.embed_poll_s)
        finally:
            del self._running[guild_id]

    async def _rebuild(self, guild_id: GuildId, model: ModelIdentity) -> None:
        shards = sorted(self._holding.held(guild_id))
        self._touched[guild_id] = set()
        try:
            fresh = {shard: self._indexes.empty(model.dimension) for shard in shards}
            if fresh:
                await self._fill(guild_id, model, fresh)
            async with self._changing:
                await self._swap(guild_id, model, fresh)
        finally:
            del self._touched[guild_id]
        _log.info("index_rebuilt", guild_id=guild_id, model=str(model), shards=shards)

    async def _fill(
        self, guild_id: GuildId, model: ModelIdentity, fresh: Mapping[int, GuildIndex]
    ) -> None:
        async for page in pages(self._store, guild_id, model, self._settings.load_page):
            for shard, loaded in self._holding.divided(page).items():
                if shard in fresh:
                    await self._indexes.beside(partial(fresh[shard].replace_all, loaded))
        for index in fresh.values():
            await self._indexes.beside(partial(_finish, index))

    async def _swap(
        self, guild_id: GuildId, model: ModelIdentity, fresh: Mapping[int, GuildIndex]
    ) -> None:
        """With what has changed since the pages were read; a shard that was let go stays away."""
        late: list[Loaded] = []
        ids, size = sorted(self._touched[guild_id]), self._settings.load_page
        for start in range(0, len(ids), size):
            late += await self._store.load(guild_id, ids[start : start + size], model)
        parts = self._holding.divided(late)
        shards = fresh.keys() & self._holding.held(guild_id)
        for shard in shards:
            key, index = ShardKey(guild_id, shard), fresh[shard]
            taking_over = partial(self._take_over, key, model, index, parts.get(shard, ()))
            await self._indexes.swap(key, taking_over)
        self._models.ask_in(guild_id, model)
        for shard in shards:
            self._swapped(guild_id, *await self._indexes.run(partial(_standing, fresh[shard])))

    def _take_over(
        self,
        key: ShardKey,
        model: ModelIdentity,
        fresh: GuildIndex,
        late: Sequence[Loaded],
        former: GuildIndex,
    ) -> GuildIndex:
        fresh.replace_all(late)
        fresh.succeed(former)
        self._models.hold(key, model)
        return fresh


async def pages(
    store: RagStore, guild_id: GuildId, model: ModelIdentity, size: int
) -> AsyncIterator[list[Loaded]]:
    """All sources of a guild with their vectors of a model, so many at a time."""
    after = ""
    while page := await store.page(guild_id, after, size, model):
        yield page
        if len(page) < size:
            return
        after = page[-1][0].source_id


def _finish(index: GuildIndex) -> None:
    index.commit()
    index.compress_at_once()


def _standing(index: GuildIndex) -> tuple[list[str], list[str]]:
    return index.source_ids(), index.waiting()
