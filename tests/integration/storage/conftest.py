from collections.abc import AsyncIterator

import pytest

from actors.runtime.message import GuildId
from actors.storage.database import Database
from tests.fixtures.older_postgres import older_server
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import new_guild, opened

__all__ = ["older_server"]


@pytest.fixture
async def app(postgres: PreparedDatabase) -> AsyncIterator[Database]:
    """As the sages see it."""
    async with opened(postgres.app_url) as database:
        yield database


@pytest.fixture
async def across(postgres: PreparedDatabase) -> AsyncIterator[Database]:
    """As the router sees it."""
    async with opened(postgres.log_url) as database:
        yield database


@pytest.fixture
async def guild(postgres: PreparedDatabase) -> GuildId:
    return await new_guild(postgres)


@pytest.fixture
async def other_guild(postgres: PreparedDatabase) -> GuildId:
    return await new_guild(postgres)
