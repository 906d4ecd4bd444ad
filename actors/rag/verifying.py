"""What the rows and the indexes say, in a form that can be compared."""

from collections.abc import Collection

from actors.embedding.identity import ModelIdentity
from actors.index.checksum import Checksum
from actors.index.guild import GuildIndex
from actors.rag.holding import Holding
from actors.rag.rebuilding import pages
from actors.rag.store import RagStore
from actors.runtime.message import GuildId


async def of_rows(
    store: RagStore,
    holding: Holding,
    guild_id: GuildId,
    shards: Collection[int],
    model: ModelIdentity,
    size: int,
) -> dict[int, Checksum]:
    """What the rows say of these shards, with their vectors of a model; ``size`` sources a page."""
    sums = {shard: Checksum(guild_id) for shard in shards}
    async for page in pages(store, guild_id, model, size):
        for shard, loaded in holding.divided(page).items():
            if shard in sums:
                for source, passages in loaded:
                    sums[shard].add(source, passages)
    return sums


def of_index(guild_id: GuildId, index: GuildIndex) -> Checksum:
    """What an index holds, on the thread that owns it."""
    held = Checksum(guild_id)
    for source, passages in index.image().loaded():
        held.add(source, passages)
    return held
