from collections.abc import AsyncIterator

import pytest

from actors.bus.sagas.postgres import PostgresSagaStore
from tests.fixtures.incident import GUILD, OTHER_GUILD
from tests.fixtures.saga_contract import SagaStoreContract
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration


class TestPostgresSagaStore(SagaStoreContract):
    @pytest.fixture
    async def store(self, fresh_database: PreparedDatabase) -> AsyncIterator[PostgresSagaStore]:
        for guild_id in (GUILD, OTHER_GUILD):
            await run_as_owner(
                fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild_id
            )
        async with opened(fresh_database.app_url) as database:
            yield PostgresSagaStore(database)
