from collections.abc import AsyncIterator

import pytest

from actors.errors import DependencyUnavailable
from actors.runtime.desired import DesiredState
from actors.settings import DatabaseSettings
from actors.storage.database import Database
from actors.storage.desired import DesiredInPostgres
from tests.fixtures.desired_contract import DesiredContract
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


class TestDesiredInPostgres(DesiredContract):
    @pytest.fixture
    async def desired(self, fresh_database: PreparedDatabase) -> AsyncIterator[DesiredState]:
        async def connect() -> Database:
            return await Database.open(fresh_database.log_url, DatabaseSettings(), connections=1)

        state = DesiredInPostgres(connect)
        yield state
        await state.close()


async def test_without_a_server_it_says_so_and_can_be_asked_again() -> None:
    async def connect() -> Database:
        return await Database.open(
            "postgresql://guild_log@127.0.0.1:1/guild", DatabaseSettings(connect_timeout_s=1)
        )

    state = DesiredInPostgres(connect)

    for _ in range(2):
        with pytest.raises(DependencyUnavailable):
            await state.load()
