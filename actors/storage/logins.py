"""Whose a login is, asked before any guild is known."""

from actors.runtime.message import GuildId
from actors.storage.database import Database


async def guild_of(database: Database, login: str) -> GuildId | None:
    """Asks the one function that sees the logins of every guild. Needs the role ``guild_app``."""
    async with database.across_guilds() as tx:
        found = await tx.fetchval("SELECT guild_of_login($1)", login)
    return None if found is None else GuildId(found)
