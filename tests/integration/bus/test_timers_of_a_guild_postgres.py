from collections.abc import AsyncIterator

import pytest

from actors.bus.timers_postgres import PostgresTimerStore
from tests.fixtures.incident import GUILD, OTHER_GUILD
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner
from tests.fixtures.timer_contract import TimerStoreContract

pytestmark = pytest.mark.integration


class TestPostgresTimerStore(TimerStoreContract):
    @pytest.fixture
    async def store(self, fresh_database: PreparedDatabase) -> AsyncIterator[PostgresTimerStore]:
        for guild_id in (GUILD, OTHER_GUILD):
            await run_as_owner(
                fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild_id
            )
        async with opened(fresh_database.app_url) as database:
            yield PostgresTimerStore(database)
