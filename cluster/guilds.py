"""Which guilds there are, for what is done to each of them."""

from actors.errors import NotFound
from actors.runtime.message import GuildId
from actors.settings import GuildSettings
from actors.storage.database import Database


async def all_guilds(config: GuildSettings) -> list[GuildId]:
    """Every guild, in the order of the ids. Needs ``GUILD_LOG_DATABASE_URL``."""
    log = await Database.open(
        config.log_database_url.get_secret_value(), config.database, connections=1
    )
    try:
        async with log.across_guilds() as tx:
            rows = await tx.fetch("SELECT guild_id FROM guilds ORDER BY guild_id")
    finally:
        await log.close()
    return [GuildId(row["guild_id"]) for row in rows]


async def check_guild(database: Database, guild_id: GuildId) -> None:
    """Raises `NotFound` where there is no such guild. Needs the role ``guild_app``."""
    async with database.read(guild_id) as tx:
        if not await tx.fetchval("SELECT true FROM guilds WHERE guild_id = $1", guild_id):
            raise NotFound("guild", guild_id)
