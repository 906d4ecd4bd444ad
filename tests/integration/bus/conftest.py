"""A database with the two guilds of the bus's tests."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.settings import DatabaseSettings
from actors.storage.database import Database
from tests.fixtures.bus_builders import GUILD, OTHER_GUILD
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import new_vault


@pytest.fixture
async def owner(
    module_database: PreparedDatabase,
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The server's own account; what a test wrote is gone afterwards."""
    connection = await asyncpg.connect(module_database.admin_url)
    await connection.execute(
        "INSERT INTO guilds (guild_id, name) VALUES ($1, 'one'), ($2, 'two')"
        " ON CONFLICT DO NOTHING",
        GUILD,
        OTHER_GUILD,
    )
    yield connection
    await connection.execute(
        "TRUNCATE events, event_identities, aggregate_heads, inbox, subscriptions, cursors,"
        " pull_deliveries, dead_letters, replays, subject_keys, digest_keys"
    )
    await connection.close()


@pytest.fixture
async def database(
    module_database: PreparedDatabase, owner: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[Database]:
    """As the bus opens it."""
    opened = await Database.open(
        module_database.app_url, DatabaseSettings(), connections=4, vault=new_vault()
    )
    yield opened
    await opened.close()


@pytest.fixture
async def log_database(
    module_database: PreparedDatabase, owner: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[Database]:
    """As the router opens it."""
    opened = await Database.open(
        module_database.log_url, DatabaseSettings(), connections=2, vault=new_vault()
    )
    yield opened
    await opened.close()
