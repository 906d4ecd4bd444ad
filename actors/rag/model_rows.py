"""The row that says which model a guild's vectors come from."""

import asyncpg

from actors.embedding.identity import ModelIdentity
from actors.rag import sql
from actors.runtime.message import GuildId
from actors.storage.database import Transaction


async def model(tx: Transaction, guild_id: GuildId) -> ModelIdentity | None:
    """The model as it is now; None: the guild has no vector yet."""
    return identity(await tx.fetchrow(sql.MODEL, guild_id))


async def held(tx: Transaction, guild_id: GuildId) -> ModelIdentity | None:
    """The same, and no other until the transaction ends."""
    return identity(await tx.fetchrow(sql.HELD_MODEL, guild_id))


async def settled(tx: Transaction, guild_id: GuildId, wanted: ModelIdentity) -> ModelIdentity:
    """The same where there is one; else the model of the first vector: from now on the guild's."""
    found = await held(tx, guild_id)
    if found is None:
        await tx.execute(sql.FIRST_MODEL, guild_id, wanted.model_id, wanted.dimension)
        found = await held(tx, guild_id)
    assert found is not None  # noqa: S101  # the row is never deleted
    return found


def identity(row: asyncpg.Record | None) -> ModelIdentity | None:
    """The model that a row names; None where it names none."""
    if row is None or row["model_id"] is None:
        return None
    return ModelIdentity(row["model_id"], row["dimension"])
