"""What one shard, held by this member, has to say; the answers of all are merged by who asked."""

import numpy as np

from actors.errors import DependencyUnavailable
from actors.index.guild import Found, GuildIndex
from actors.index.passage import Passage, Selection, Source, Vector
from actors.rag import evidence
from actors.rag.embedder import Meaning
from actors.rag.library import Library, NotHere
from actors.rag.messages import (
    AskedMeaning,
    Filters,
    FindShardEvidence,
    GetShardStatus,
    Hit,
    IndexStatus,
    LegScore,
    SearchMode,
    SearchShard,
    ShardEvidence,
    ShardHits,
)
from actors.rag.removals import Left, Removals
from actors.runtime.message import GuildId, Handlers, Position
from actors.settings import IndexSettings


class OneShard:
    """Answers for shards of this member. Each answer is as fresh as a whole one has to be."""

    def __init__(self, library: Library, settings: IndexSettings) -> None:
        self._library = library
        self._settings = settings
        self._removals = Removals(library, settings.removals_timeout_s)

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            SearchShard: self.search,
            FindShardEvidence: self.find_evidence,
            GetShardStatus: self.status,
        }

    async def search(self, query: SearchShard) -> ShardHits:
        """The scores of all candidates, and the passages that can be among the best.

        Raises:
            NotHere: this member does not hold the shard.
            StaleIndex: it has not reached ``min_position``.
            DependencyUnavailable: the meaning alone is asked for, in another model.
        """
        asked, guild_id = query.search, query.context.caller.guild_id
        self._check(guild_id, query.shard, query.shards)
        left = await self.brought_up(
            guild_id, asked.min_position, dense=asked.dense_too, wait_s=asked.wait_s
        )
        meaning, selection = _received(query.meaning), selection_of(asked.filters, left.source_ids)
        position, dense_alone = self._library.position, asked.mode is SearchMode.DENSE

        def work(index: GuildIndex) -> ShardHits:
            vector = self.fitting(guild_id, query.shard, meaning, needed=dense_alone)
            strange = meaning is not None and vector is None
            proposed = index.propose(
                asked.text,
                vector,
                selection=selection,
                limit=asked.top_k,
                lexical=not dense_alone,
            )
            return ShardHits(
                lexical=proposed.legs.lexical,
                dense=proposed.legs.dense,
                places=proposed.places,
                hits=tuple(_bare_hit(source, passage) for source, passage in proposed.found),
                rarity=index.rarity(index.terms(asked.text)) if query.weigh else {},
                passages=index.passages,
                by_meaning=vector is not None,
                position=position,
                dense_position=self._library.dense_position(guild_id),
                dense_pending=index.passages if strange else index.without_vector,
                stale=not left.known,
                bias=self._library.weights.bias(guild_id),
            )

        return await self._library.ask(guild_id, work, query.shard)

    async def find_evidence(self, query: FindShardEvidence) -> ShardEvidence:
        """The shard's part of a dossier; raises what `search` raises."""
        find, guild_id = query.find, query.context.caller.guild_id
        self._check(guild_id, query.shard, query.shards)
        left = await self.brought_up(guild_id, find.min_position)
        asked = evidence.question(find, self._settings.max_query_chars)
        meaning = _received(query.meaning)

        def work(index: GuildIndex) -> evidence.Lines:
            vector = self.fitting(guild_id, query.shard, meaning)
            return evidence.gather(index, asked, vector, find.limit, left.source_ids)

        lines = await self._library.examine(guild_id, work, query.shard)
        return ShardEvidence(
            similar=lines.similar,
            runbooks=lines.runbooks,
            open_work=lines.open_work,
            stale=not left.known,
        )

    async def status(self, query: GetShardStatus) -> IndexStatus:
        """How far the shard is.

        Raises:
            NotHere: this member does not hold the shard.
        """
        guild_id = query.context.caller.guild_id
        self._check(guild_id, query.shard, query.shards)
        sources, passages, pending = await self._library.ask(
            guild_id,
            lambda index: (len(index), index.passages, index.without_vector),
            query.shard,
        )
        return IndexStatus(
            state="ready",
            position=self._library.position,
            dense_position=self._library.dense_position(guild_id),
            sources=sources,
            passages=passages,
            dense_pending=pending,
            shards=query.shards,
        )

    async def brought_up(
        self,
        guild_id: GuildId,
        wanted: Position | None,
        *,
        dense: bool = False,
        wait_s: float | None = None,
    ) -> Left:
        """Waits for the position; then, not before, asks what has left of what is there now.

        Raises:
            StaleIndex: it took longer.
        """
        patience_s = None if wait_s is None else min(wait_s, self._settings.max_position_wait_s)
        await self._library.reach(guild_id, wanted, dense=dense, timeout_s=patience_s)
        return await self._removals.of(guild_id)

    def fitting(
        self, guild_id: GuildId, shard: int, meaning: Meaning | None, *, needed: bool = False
    ) -> Vector | None:
        """Within `Library.ask`: the vector, if those of the shard are of its model.

        Raises:
            DependencyUnavailable: they are not, and the words alone are no answer.
        """
        if meaning is None:
            return None
        vector = meaning.within(self._library.model_held(guild_id, shard))
        if vector is None and needed:
            raise DependencyUnavailable("the model of the query, which the guild has left")
        return vector

    def _check(self, guild_id: GuildId, shard: int, shards: int) -> None:
        divided = self._library.holding.layout.shards
        if shards != divided or not self._library.holds(guild_id, shard):
            raise NotHere("the shard")


def selection_of(filters: Filters, hidden: frozenset[str]) -> Selection:
    """What may be found, without what has left."""
    return Selection(
        types=filters.types,
        kinds=filters.kinds,
        statuses=filters.statuses,
        access=filters.access,
        tags=filters.tags,
        exclude=filters.exclude | hidden,
        since=None if filters.since is None else filters.since.timestamp(),
        until=None if filters.until is None else filters.until.timestamp(),
    )


def hit_of(found: Found) -> Hit:
    """What was found, as it is answered."""
    standings = {"lexical": found.lexical, "dense": found.dense}
    legs = {
        name: LegScore(rank=standing.rank, score=round(standing.score, 4))
        for name, standing in standings.items()
        if standing is not None
    }
    return _bare_hit(found.source, found.passage, round(found.score, 4), legs)


def _bare_hit(
    source: Source,
    passage: Passage,
    score: float = 0.0,
    legs: dict[str, LegScore] | None = None,
) -> Hit:
    return Hit(
        type=source.type,
        id=source.source_id,
        external_id=source.external_id,
        version=source.version,
        chunk_id=passage.chunk_id,
        kind=source.kind,
        title=source.title,
        heading=passage.heading,
        text=passage.text,
        score=score,
        legs=legs or {},
        char_start=passage.char_start,
        char_end=passage.char_end,
    )


def _received(sent: AskedMeaning | None) -> Meaning | None:
    if sent is None:
        return None
    return Meaning(np.frombuffer(sent.vector, dtype="<f4").astype(np.float32), sent.model)
