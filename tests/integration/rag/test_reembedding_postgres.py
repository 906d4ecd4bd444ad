"""Re-embedding on PostgreSQL: the store's contract."""

from collections.abc import AsyncIterator

import pytest

from actors.rag.postgres import PostgresRagStore
from actors.rag.reembedding.postgres import PostgresNextStore
from actors.storage.database import Database
from tests.fixtures.rag_builders import GUILD, OTHER_GUILD
from tests.fixtures.reembedding_contract import NextStoreContract, Stores
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration


@pytest.fixture
async def databases(fresh_database: PreparedDatabase) -> AsyncIterator[tuple[Database, Database]]:
    for guild_id in (GUILD, OTHER_GUILD):
        await run_as_owner(
            fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild_id
        )
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as log:
        yield app, log


@pytest.fixture
def stores(databases: tuple[Database, Database]) -> Stores:
    return Stores(PostgresRagStore(*databases), PostgresNextStore(*databases))


class TestPostgresNextStore(NextStoreContract):
    """The contract that the store of the unit tests keeps as well."""
