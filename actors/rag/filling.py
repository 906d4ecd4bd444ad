"""Indexes are filled from snapshots or from the rows: at a start, and when shards move here."""

import asyncio
from collections.abc import Collection

from actors.embedding.identity import ModelIdentity
from actors.rag.ahead import Ahead
from actors.rag.dense_backlog import DenseBacklogs
from actors.rag.holding import Holding
from actors.rag.indexes import Indexes
from actors.rag.models import Models
from actors.rag.placement import ShardKey
from actors.rag.snapshots import Snapshots
from actors.rag.store import RagStore
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings


class Filling:
    """Fills the shards of one member, each with vectors of one model.

    Args:
        store: where the passages are.
        holding: which shards there are.
        indexes: what is filled.
        models: of the indexes.
        dense: hears what waits for a vector.
        ahead: what the indexes were told and the rows do not say yet.
        changing: held by whoever changes an index.
        snapshots: where a start may begin; None: always at the rows.
        settings: sizes.
    """

    def __init__(
        self,
        store: RagStore,
        holding: Holding,
        indexes: Indexes,
        models: Models,
        dense: DenseBacklogs,
        ahead: Ahead,
        changing: asyncio.Lock,
        snapshots: Snapshots | None,
        settings: IndexSettings,
    ) -> None:
        self._store = store
        self._holding = holding
        self._indexes = indexes
        self._models = models
        self._dense = dense
        self._ahead = ahead
        self._changing = changing
        self._snapshots = snapshots
        self._settings = settings

    async def load(self, guild_id: GuildId, end: Position) -> Position:
        """Fills the shards of one guild; up to where the log is in all of them."""
        model = await self._store.model(guild_id) or self._models.default
        self._models.ask_in(guild_id, model)
        missing, reached = set(self._holding.held(guild_id)), end
        snapshots = self._snapshots
        for shard in sorted(missing):
            key = ShardKey(guild_id, shard)
            self._models.hold(key, model)
            kept = None if snapshots is None else await snapshots.load(guild_id, end, model, shard)
            if kept is not None:
                missing.discard(shard)
                reached = min(reached, kept.position)
                await self._indexes.put(key, kept.loaded)
                self._dense.note_old(guild_id, kept.loaded, end.epoch)
        if missing:
            await self._fill(guild_id, missing, model, end.epoch)
        return reached

    async def take(self, guild_id: GuildId, shards: Collection[int], epoch: int) -> None:
        """Fills shards in the guild's model while searches go on; they are held when all is there.

        Raises:
            ElderGuildError: the rows cannot be read; then nothing has changed.
        """
        keys = [ShardKey(guild_id, shard) for shard in shards]
        model = await self._store.model(guild_id) or self._models.of(guild_id)
        async with self._changing:  # from here on what the log says is applied to them, too
            self._holding.fill(guild_id, shards)
            for key in keys:
                self._models.hold(key, model)
        filled = False
        try:
            await self._fill(guild_id, shards, model, epoch)
            filled = True
        finally:
            self._holding.fill(guild_id, ())
            if filled:
                self._holding.held(guild_id).update(shards)
            else:
                async with self._changing:
                    for key in keys:
                        await self._let_go(key)

    async def drop(self, key: ShardKey) -> None:
        """Lets a shard go; searches of it that have begun are finished."""
        async with self._changing:
            self._holding.held(key.guild_id).discard(key.shard)
            await self._let_go(key)

    async def _fill(
        self, guild_id: GuildId, shards: Collection[int], model: ModelIdentity, epoch: int
    ) -> None:
        """From the rows. What the log says of them meanwhile waits for the page being read."""
        after: str | None = ""
        while after is not None:
            async with self._changing:
                page = await self._store.page(guild_id, after, self._settings.load_page, model)
                fresh = self._ahead.not_older(guild_id, page)
                for shard, loaded in self._holding.divided(fresh).items():
                    if shard in shards:
                        await self._indexes.put(ShardKey(guild_id, shard), loaded, visible=False)
                        self._dense.note_old(guild_id, loaded, epoch)
            after = page[-1][0].source_id if len(page) >= self._settings.load_page else None
        for shard in shards:
            await self._indexes.put(ShardKey(guild_id, shard), ())

    async def _let_go(self, key: ShardKey) -> None:
        self._dense.forget(key.guild_id, await self._indexes.drop(key))
        self._models.drop(key)
