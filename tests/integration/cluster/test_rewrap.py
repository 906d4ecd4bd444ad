"""The command after a rotation of the ring."""

import json

import pytest
from pydantic import SecretStr

from actors.settings import GuildSettings
from actors.storage import sealing
from cluster.rewrap import rewrap_all
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SECRET_KEY, new_guild, opened

pytestmark = pytest.mark.integration


async def test_the_keys_of_every_guild_are_wrapped_anew_and_a_second_run_has_nothing_to_do(
    fresh_database: PreparedDatabase,
) -> None:
    rotated = json.dumps([{"kid": "new", "key": "n" * 32}, {"kid": "old", "key": SECRET_KEY}])
    config = GuildSettings(
        database_url=SecretStr(fresh_database.app_url),
        log_database_url=SecretStr(fresh_database.log_url),
        secret_key=SecretStr(rotated),
    )
    guilds = [await new_guild(fresh_database) for _ in range(3)]
    async with opened(fresh_database.app_url) as database:
        for guild in guilds[:2]:
            async with database.transaction(guild) as tx:
                await sealing.hold(tx, guild, ["one", "two"])

    done = [await rewrap_all(config), await rewrap_all(config)]

    assert done == [6, 0]
