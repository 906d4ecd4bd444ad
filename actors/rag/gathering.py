"""What all shards propose for a search, before it is fused."""

from dataclasses import replace

import structlog

from actors.errors import ElderGuildError
from actors.rag.embedder import Meaning
from actors.rag.library import Library
from actors.rag.messages import AskedMeaning, Search, SearchShard, ShardHits
from actors.rag.one_shard import OneShard
from actors.rag.shards import Gathered, Shards
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")


class Gathering:
    """Asks every shard of a guild's index, one shard that this member holds or many that others do.

    Args:
        library: what this member holds.
        shards: where the others are.
        one: answers for the shards of this member.
        settings: patience.
    """

    def __init__(
        self, library: Library, shards: Shards, one: OneShard, settings: IndexSettings
    ) -> None:
        self._library = library
        self._shards = shards
        self._one = one
        self._settings = settings

    async def proposals(
        self, query: Search, meaning: Meaning | None, *, weigh: bool = False
    ) -> Gathered[ShardHits]:
        """What the legs of each shard have for a query, and the best that it can be.

        A shard whose vectors are of another model answers by its words alone: cosines of two models
        are never compared.

        Args:
            query: what is asked.
            meaning: of it; None leaves the dense leg out.
            weigh: how rare the query's terms are is wanted, too.

        Raises:
            StaleIndex: a shard has not reached ``min_position``.
            DependencyUnavailable: no shard answered.
        """
        guild_id = query.context.caller.guild_id
        bare = replace(query, vector=None)  # it goes beside it, of unit length

        def message(shard: int) -> SearchShard:
            return SearchShard(
                context=query.context,
                search=bare,
                meaning=sent(meaning),
                shard=shard,
                shards=self._shards.count,
                weigh=weigh,
            )

        gathered: Gathered[ShardHits] = await self._shards.gather(
            guild_id,
            lambda shard: self._one.search(message(shard)),
            message,
            self.patience_s(query.min_position, query.wait_s),
        )
        if meaning is not None and not all(part.by_meaning for part in gathered.parts):
            await self._check_model(guild_id)
        return gathered

    def patience_s(self, wanted: Position | None, wait_s: float | None = None) -> float:
        """What a shard may take for a position."""
        if wanted is None:
            return 0.0
        if wait_s is None:
            return self._settings.position_wait_s
        return min(wait_s, self._settings.max_position_wait_s)

    async def _check_model(self, guild_id: GuildId) -> None:
        """A shard is of another model: if this member has not heard of a switch, it asks now."""
        try:
            await self._library.check_model(guild_id)
        except ElderGuildError as error:  # the answer is there all the same
            _log.warning("model_not_checked", guild_id=guild_id, code=error.code)


def sent(meaning: Meaning | None) -> AskedMeaning | None:
    """A meaning as it travels."""
    if meaning is None:
        return None
    return AskedMeaning(vector=meaning.vector.astype("<f4").tobytes(), model=meaning.model)
