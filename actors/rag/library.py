"""Every guild's index in one member: loaded at start, then kept up with the log."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from actors import events, metrics
from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.errors import DependencyUnavailable, ElderGuildError, StaleIndex
from actors.events import StoredEvent
from actors.index.guild import GuildIndex
from actors.rag import projection, verifying
from actors.rag.ahead import Ahead
from actors.rag.dense_backlog import DenseBacklogs
from actors.rag.feedback.weights import Weights
from actors.rag.filling import Filling
from actors.rag.holding import Holding
from actors.rag.incoming import Incoming, Log
from actors.rag.indexes import BrokenIndex, Indexes
from actors.rag.models import Models
from actors.rag.out_of_turn import OutOfTurn
from actors.rag.placement import Layout, ShardKey
from actors.rag.rebuilding import Rebuilding
from actors.rag.snapshots import Snapshots
from actors.rag.store import Loaded, RagStore
from actors.rag.tail_pace import TailPace
from actors.runtime.message import GuildId, Position
from actors.runtime.turns import in_turns
from actors.settings import IndexSettings
from actors.storage.frontier import Frontier
from actors.storage.log import Unreadable
from actors.storage.unread import TooMany

_log = structlog.get_logger("elders_guild.rag")
_T = TypeVar("_T")
_SAGES = "sage."


class NotHere(DependencyUnavailable):
    """This member does not hold that shard, or not yet: another one may."""


class Library:
    """The indexes of all guilds, and how far into the log they are.

    Args:
        store: where the passages are.
        log: what changed.
        settings: sizes and pauses.
        model: of the vectors, where a guild has none yet.
        snapshots: where a start may begin; None: always at the database.
        holding: which shards this member holds; None: every one.
        weights: what the guilds have learnt; None: nothing.

    Attributes:
        holding: which shards this member holds.
        weights: what the guilds have learnt, up to the position of the indexes.
    """

    def __init__(
        self,
        store: RagStore,
        log: Log,
        settings: IndexSettings,
        model: ModelIdentity = SHIPPED,
        snapshots: Snapshots | None = None,
        holding: Holding | None = None,
        weights: Weights | None = None,
    ) -> None:
        self.holding = holding or Holding(Layout(settings.shards))
        self.weights = weights or Weights()
        self._store = store
        self._log = log
        self._settings = settings
        self._snapshots = snapshots
        self._ahead = Ahead(settings.max_ahead, settings.max_removals)
        self._incoming = Incoming(store, self._rows, self._ahead, settings)
        self._models = Models(model)
        self._indexes = Indexes(settings, self._models)
        self._dense = DenseBacklogs()
        self._frontier: Frontier | None = None
        self._advanced = asyncio.Condition()
        self._changing = asyncio.Lock()
        self._rebuilding = Rebuilding(
            store,
            self.holding,
            self._indexes,
            self._models,
            self._changing,
            self._swapped,
            settings,
        )
        self._filling = Filling(
            store,
            self.holding,
            self._indexes,
            self._models,
            self._dense,
            self._ahead,
            self._changing,
            snapshots,
            settings,
        )
        self._out_of_turn = OutOfTurn(log, self._apply, settings)
        self._passed_over: set[GuildId] = set()
        self._pace = TailPace(settings)
        self._vectors_wanted = asyncio.Event()
        self._level_at = time.monotonic()

    @property
    def position(self) -> Position | None:
        """Everything up to here is searchable by its words; None: not loaded yet."""
        return None if self._frontier is None else self._frontier.settled

    def dense_position(self, guild_id: GuildId) -> Position | None:
        """Everything of the guild up to here is searchable by its meaning, too."""
        position = self.position
        return None if position is None else self._dense.reached(guild_id, position)

    def model(self, guild_id: GuildId) -> ModelIdentity:
        """What a guild's queries are asked in."""
        return self._models.of(guild_id)

    def model_held(self, guild_id: GuildId, shard: int = 0) -> ModelIdentity:
        """Of the vectors of a shard; what is compared with them must be of it, too.

        Within `ask` it is the model of the very index that is asked.
        """
        return self._models.held(ShardKey(guild_id, shard))

    async def check_model(self, guild_id: GuildId) -> None:
        """Begins to build the guild's indexes anew where the guild's model is another one.

        Raises:
            ElderGuildError: the rows cannot be read.
        """
        await self._rebuilding.begin(guild_id)

    async def settled(self) -> None:
        """Waits until no index is being built anew, compressed or compacted."""
        await self._rebuilding.settled()
        await self._indexes.tended()

    @property
    def guilds(self) -> tuple[GuildId, ...]:
        """The guilds that have anything to find."""
        return self.holding.guilds

    async def ask(self, guild_id: GuildId, work: Callable[[GuildIndex], _T], shard: int = 0) -> _T:
        """Runs ``work``, no longer than a search, on one shard of a guild's index.

        Raises:
            NotHere: this member does not hold the shard.
            DependencyUnavailable: the indexes are not loaded yet.
        """
        return await self._indexes.ask(self._held(guild_id, shard), work)

    async def examine(
        self, guild_id: GuildId, work: Callable[[GuildIndex], _T], shard: int = 0
    ) -> _T:
        """As `ask`, for what takes longer than a search: the event loop goes on meanwhile."""
        return await self._indexes.examine(self._held(guild_id, shard), work)

    def holds(self, guild_id: GuildId, shard: int) -> bool:
        """Whether a shard can be searched here."""
        return self._frontier is not None and shard in self.holding.held(guild_id)

    async def waiting(self, guild_id: GuildId) -> int:
        """Passages of a guild that this member holds and that have no vector yet."""
        counts = [
            await self.ask(guild_id, lambda index: index.without_vector, shard)
            for shard in sorted(self.holding.held(guild_id))
        ]
        return sum(counts)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Runs ``work`` on the thread that owns the indexes."""
        return await self._indexes.run(work)

    async def take(self, guild_id: GuildId, shards: Collection[int]) -> None:
        """Fills shards from the rows while searches go on; they are held when all is there.

        Raises:
            ElderGuildError: the rows cannot be read; then nothing has changed.
        """
        position = self.position
        if position is None:
            raise DependencyUnavailable("the index")
        async with self._rebuilding.filling:  # a switch is followed before it, or behind it
            await self._filling.take(guild_id, shards, position.epoch)
        for shard in sorted(shards):
            await self._indexes.tend(ShardKey(guild_id, shard))
        self._measure()

    async def drop(self, guild_id: GuildId, shard: int) -> None:
        """Lets a shard go; searches of it that have begun are finished."""
        await self._filling.drop(ShardKey(guild_id, shard))
        self._measure()

    @property
    def broken(self) -> frozenset[ShardKey]:
        """Shards whose index was lost when a change of it failed; nobody can ask them."""
        return frozenset(self._indexes.broken)

    async def removed(self) -> Mapping[GuildId, frozenset[str]]:
        """Ids of the sources that have left by now and that the indexes may still hold.

        Raises:
            DependencyUnavailable: the log cannot be asked, the indexes are not loaded yet, or they
                or the rows are too far behind.
        """
        if self._frontier is None:
            raise DependencyUnavailable("the index")
        if not self._ahead.complete:
            raise TooMany("what the projection has missed")
        gone: defaultdict[GuildId, set[str]] = defaultdict(set)
        for one in await self._log.mentions(
            self._frontier,
            projection.REMOVALS,
            self._settings.max_removals,
            projection.CLOSINGS,
        ):
            if not self._out_of_turn.took_out(one.position):
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
        until = time.monotonic() + patience_s
        if await self._waited(lambda: self._has(guild_id, wanted, dense=False), patience_s):
            if not dense or self._has(guild_id, wanted, dense=True):
                return
            self._vectors_wanted.set()
            left_s = until - time.monotonic()
            if await self._waited(lambda: self._has(guild_id, wanted, dense=True), left_s):
                return
        tail = self._frontier
        if tail is not None and not self._covers(guild_id, wanted):
            await self._out_of_turn.read(guild_id, tail, wanted)
            if self._has(guild_id, wanted, dense):
                return
        reached = self.dense_position(guild_id) if dense else self.position
        raise StaleIndex(str(wanted), str(reached))

    async def vectors_wanted(self, timeout_s: float) -> None:
        """Returns when a search has begun to wait for vectors, at the latest after the timeout."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._vectors_wanted.wait()
        self._vectors_wanted.clear()

    async def load(self) -> None:
        """Makes every guild's index, from its snapshot or from the rows.

        What changed since, or changes meanwhile, is read by `follow`; so is what has left and is
        still among the rows, because the projection has not come to it.
        """
        end = await self._log.end()
        start = await self._before_what_rows_miss(end)
        for guild_id in await self._store.guilds():
            start = min(start, await self._filling.load(guild_id, end))
            await self.weights.refresh(guild_id)
            await self._tend(guild_id)
        await self._advance(Frontier.at(start))
        self._measure()
        _log.info("index_loaded", guilds=len(self._indexes), position=str(start), end=str(end))

    async def _before_what_rows_miss(self, end: Position) -> Position:
        """Below the first removal that the projection has not stored, if there is one."""
        reached = await self._log.reached(projection.SUBSCRIPTION)
        if reached is None or reached >= end:
            return end
        try:
            missed = await self._log.mentions(
                Frontier.at(reached),
                projection.OTHERS_REMOVALS,
                self._settings.max_removals,
                projection.CLOSINGS,
            )
        except TooMany:
            return reached
        below = (replace(one.position, seq=one.position.seq - 1) for one in missed)
        return min([end, *below])

    async def verify(self, guild_id: GuildId) -> bool:
        """Whether each shard held here has what the rows say, with the vectors of its own model.

        Only meaningful while nobody writes: what changes between the two readings differs.
        """
        by_model: defaultdict[ModelIdentity, set[int]] = defaultdict(set)
        for shard in self.holding.held(guild_id):
            by_model[self.model_held(guild_id, shard)].add(shard)
        for model, shards in by_model.items():
            size = self._settings.load_page
            sums = await verifying.of_rows(self._store, self.holding, guild_id, shards, model, size)
            for shard, rows in sums.items():
                held = await self.examine(guild_id, partial(verifying.of_index, guild_id), shard)
                if (held.value, held.passages) != (rows.value, rows.passages):
                    return False
        return True

    async def keep_snapshots(self) -> None:
        """Writes what is due and sweeps what is of no use, for ever."""
        while True:
            await asyncio.sleep(self._settings.snapshot_poll_s)
            try:
                if self._snapshots is not None:
                    await asyncio.to_thread(self._snapshots.sweep)
            except Exception:  # a bug: old files stay
                _log.exception("snapshots_not_swept")
            async for guild_id in in_turns(self.guilds, self._settings.store_hold_s):
                try:
                    await self.save(guild_id)
                except Exception:  # a bug: the start will read the rows
                    _log.exception("snapshot_failed", guild_id=guild_id)

    async def save(self, guild_id: GuildId) -> bool:
        """Writes the snapshots of a guild that are due; whether there were any."""
        saved = [await self._save(guild_id, shard) for shard in sorted(self.holding.held(guild_id))]
        return any(saved)

    async def _save(self, guild_id: GuildId, shard: int) -> bool:
        passages = await self.ask(guild_id, lambda index: index.passages, shard)
        if self._snapshots is None or guild_id in self._passed_over:
            return False
        if not self._snapshots.due(guild_id, passages, shard):
            self._snapshots.forget(guild_id, passages, shard)
            return False
        async with self._changing:  # what is applied and the position belong together
            position = self.position
            image = await self.examine(guild_id, GuildIndex.image, shard)
            model = self.model_held(guild_id, shard)
        if position is None or guild_id in self._passed_over:  # it may be by now
            return False
        await self._snapshots.save(guild_id, image, position, model, shard)
        return True

    async def follow(self) -> None:
        """Keeps up with the log, for ever. A failed read is tried again after the pause."""
        while True:
            failed = behind = False
            self._pace.looks()
            try:
                behind = await self.catch_up()
            except ElderGuildError as error:
                _log.warning("tail_waits", code=error.code)
                failed = True
            except Exception:  # a bug: said aloud, and the index says where it stands
                _log.exception("tail_failed")
                failed = True
            if failed:
                await asyncio.sleep(self._settings.tail_hurry_s)  # however many come meanwhile
            if not behind:
                await self._pace.pause()

    async def catch_up(self) -> bool:
        """Applies the next batch of events; whether there may be more.

        What cannot be read is passed over and said. The guild gets no snapshot from then on: a
        later version, or one with the key, may read it from where the former snapshot stands.
        """
        frontier = self._frontier
        if frontier is None:
            raise DependencyUnavailable("the index")
        (page,) = await self._log.advance([frontier], self._settings.tail_batch)
        by_guild: dict[GuildId, list[StoredEvent]] = {}
        for event in page.events:
            by_guild.setdefault(event.guild_id, []).append(event)
        for guild_id, found in by_guild.items():
            await self._apply(guild_id, found)
            await self._tend(guild_id)
        self._pass_over(page.unreadable)
        if self._ahead.crowded:
            reached = await self._log.reached(projection.SUBSCRIPTION)
            if reached is not None:
                self._ahead.projected(reached)
        await self._advance(page.frontier)
        if by_guild:
            self._pace.found()
            self._measure()
        self._note_lag(len(page.events), page.full)
        return page.full

    async def close(self) -> None:
        """Ends the index threads; running work is finished."""
        self._rebuilding.stop()
        self._out_of_turn.stop()
        await self._indexes.close()

    def _held(self, guild_id: GuildId, shard: int) -> ShardKey:
        if self._frontier is None:
            raise DependencyUnavailable("the index")
        if shard not in self.holding.held(guild_id):
            raise NotHere("the shard")
        return ShardKey(guild_id, shard)

    async def _tend(self, guild_id: GuildId) -> None:
        for shard in sorted(self.holding.applied(guild_id)):
            await self._indexes.tend(ShardKey(guild_id, shard))

    def _pass_over(self, unreadable: Sequence[Unreadable]) -> None:
        for one in unreadable:
            metrics.INDEX_UNREADABLE.inc()
            if one.type.startswith(_SAGES):  # of the others nothing is indexed
                self._passed_over.add(one.guild_id)
            _log.error(
                "event_passed_over",
                guild_id=one.guild_id,
                event_id=one.event_id,
                type=one.type,
                position=str(one.position),
                reason=one.reason,
            )

    def _note_lag(self, found: int, more: bool) -> None:
        """Where there is more, at least as much as was found just now."""
        metrics.INDEX_LAG_EVENTS.labels("lexical").set(found if more else 0)
        if not more:
            self._level_at = time.monotonic()

    def lag_s(self) -> float:
        """Since when the index has not been level with the log; what it is between two looks."""
        return time.monotonic() - self._level_at

    def _measure(self) -> None:
        metrics.INDEX_SHARDS_HELD.set(self.holding.count)
        self._indexes.measure()

    async def _rows(self, guild_id: GuildId, source_ids: Collection[str]) -> list[Loaded]:
        """Sources as they are stored, each with the vectors of its shard's model."""
        self._rebuilding.touched(guild_id, source_ids)
        by_model: defaultdict[ModelIdentity, list[str]] = defaultdict(list)
        for source_id in sorted(source_ids):
            shard = self.holding.shard_of(source_id)
            by_model[self.model_held(guild_id, shard)].append(source_id)
        found: list[Loaded] = []
        for model, ids in by_model.items():
            found += await self._store.load(guild_id, ids, model)
        return found

    def _has(self, guild_id: GuildId, wanted: Position, dense: bool) -> bool:
        return self._covers(guild_id, wanted) and (not dense or self._dense.has(guild_id, wanted))

    def _covers(self, guild_id: GuildId, wanted: Position) -> bool:
        tail = self._frontier is not None and self._frontier.covers(wanted)
        return tail or self._out_of_turn.covers(guild_id, wanted)

    async def _waited(self, done: Callable[[], bool], patience_s: float) -> bool:
        if done():
            return True
        try:
            with self._pace.hurried():
                async with asyncio.timeout(patience_s), self._advanced:
                    await self._advanced.wait_for(done)
        except TimeoutError:
            return False
        return True

    async def _apply(self, guild_id: GuildId, batch: Sequence[StoredEvent]) -> None:
        async with self._changing:  # both the tail and those who read ahead of it come here
            found = await self._incoming.read(guild_id, self._mine(guild_id, batch))
            if found.loaded or found.gone:
                await self._put(guild_id, found.loaded, found.positions, found.gone)
        await self.weights.hear(guild_id, batch)
        if any(isinstance(event.payload, events.ModelSwitched) for event in batch):
            await self._rebuilding.begin(guild_id, switched=True)

    def _mine(self, guild_id: GuildId, batch: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """Those of them whose sources are of the shards here."""
        applied, holding = self.holding.applied(guild_id), self.holding
        if len(applied) == holding.layout.shards:
            return batch
        return [
            event
            for event in batch
            if holding.shard_of(projection.source_id_of(event.aggregate_id)) in applied
        ]

    async def _put(
        self,
        guild_id: GuildId,
        loaded: Sequence[Loaded],
        positions: Mapping[str, Position],
        gone: Collection[str] = (),
    ) -> None:
        """Into the index, and who waits for a vector is noted with the position of its cause."""
        parts = self.holding.divided(loaded)
        left: defaultdict[int, list[str]] = defaultdict(list)
        for source_id in gone:
            left[self.holding.shard_of(source_id)].append(source_id)
        for shard in parts.keys() | left.keys():
            key = ShardKey(guild_id, shard)
            with suppress(BrokenIndex):  # it has said so; the others must not wait for it
                await self._indexes.put(key, parts.get(shard, ()), left.get(shard, ()))
        self._dense.forget(guild_id, gone)
        self._dense.note(guild_id, loaded, positions)

    def _swapped(
        self, guild_id: GuildId, source_ids: Collection[str], waiting: Collection[str]
    ) -> None:
        if self.position is not None:
            self._dense.swapped(guild_id, source_ids, waiting, self.position.epoch)

    async def _advance(self, frontier: Frontier) -> None:
        self._out_of_turn.passed(frontier)
        async with self._advanced:
            self._frontier = frontier
            self._advanced.notify_all()
