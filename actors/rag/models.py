"""Which model the vectors of each guild and shard come from, in one member."""

from collections.abc import Iterable

from actors.embedding.identity import ModelIdentity
from actors.rag.placement import ShardKey
from actors.runtime.message import GuildId


class Models:
    """The model of a shard is changed together with its index, by the thread that owns the indexes.

    Args:
        default: of a guild that has no vector yet.
    """

    def __init__(self, default: ModelIdentity) -> None:
        self.default = default
        self._asked: dict[GuildId, ModelIdentity] = {}
        self._held: dict[ShardKey, ModelIdentity] = {}

    def of(self, guild_id: GuildId) -> ModelIdentity:
        """What a guild's queries are asked in; for a moment it may be another than the guild's."""
        return self._asked.get(guild_id, self.default)

    def ask_in(self, guild_id: GuildId, model: ModelIdentity) -> None:
        """From now on the guild's queries are asked in this model."""
        self._asked[guild_id] = model

    def held(self, key: ShardKey) -> ModelIdentity:
        """The model of the vectors of a shard; of one that has none yet: of the queries."""
        return self._held.get(key) or self.of(key.guild_id)

    def hold(self, key: ShardKey, model: ModelIdentity) -> None:
        """From now on the shard's vectors are of this model."""
        self._held[key] = model

    def drop(self, key: ShardKey) -> None:
        """The shard was let go."""
        self._held.pop(key, None)

    def all_are(self, model: ModelIdentity, guild_id: GuildId, shards: Iterable[int]) -> bool:
        """Whether these shards are of the model, and the queries are asked in it."""
        found = {self.held(ShardKey(guild_id, shard)) for shard in shards}
        return found | {self.of(guild_id)} == {model}
