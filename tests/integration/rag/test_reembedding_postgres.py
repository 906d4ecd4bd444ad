"""Re-embedding on PostgreSQL: the store's contract, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.embedding.identity import SHIPPED
from actors.rag import model_rows
from actors.rag.postgres import PostgresRagStore
from actors.rag.reembedding.postgres import PostgresNextStore
from actors.storage.database import Database
from tests.fixtures.rag_builders import DISK, GUILD, OTHER_GUILD, store_document
from tests.fixtures.rag_contract import attach_vectors, embedded, put
from tests.fixtures.reembedding_contract import (
    TARGET,
    NextStoreContract,
    Stores,
    dimensions,
    next_vectors,
    switch_model,
)
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner, until_waiting

pytestmark = pytest.mark.integration

_ONE_MORE = """
INSERT INTO chunks (guild_id, chunk_id, source_id, position, heading, body, char_start, char_end,
                    embedded_text)
SELECT guild_id, 'one more', source_id, 1000, heading, body, char_start, char_end, embedded_text
FROM chunks WHERE guild_id = $1 LIMIT 1
"""


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


async def test_a_switch_waits_for_whoever_writes_vectors_and_they_wait_for_it(
    databases: tuple[Database, Database], stores: Stores
) -> None:
    app, _ = databases
    await put(stores.rag, store_document(DISK))
    claimed = await stores.rag.claim(GUILD, 100, 60.0)
    async with app.transaction(GUILD) as writing:
        before = await model_rows.settled(writing, GUILD, SHIPPED)
        switching = asyncio.create_task(stores.following.switch(switch_model(), TARGET, 100))
        await until_waiting(writing, 1)
        attaching = asyncio.create_task(
            stores.rag.attach(attach_vectors(), embedded(claimed), SHIPPED.model_id)
        )
        await until_waiting(writing, 2)
        waiting = not switching.done() and not attaching.done()
        same = await model_rows.held(writing, GUILD)

    switched = await switching
    await attaching

    assert waiting
    assert before == same == SHIPPED
    assert switched
    assert await stores.rag.model(GUILD) == TARGET
    assert await dimensions(stores.rag) == {None}


async def test_what_is_forgotten_beside_a_switch_is_not_counted_as_ready(
    databases: tuple[Database, Database], stores: Stores
) -> None:
    app, _ = databases
    await put(stores.rag, store_document(DISK))
    claimed = await stores.rag.claim(GUILD, 100, 60.0)
    await stores.rag.attach(attach_vectors(), embedded(claimed), SHIPPED.model_id)
    waiting = await stores.following.waiting(GUILD, TARGET, "", 100)
    await stores.following.keep(GUILD, TARGET, next_vectors(waiting))
    async with app.transaction(GUILD) as holding:  # so that forgetting cannot end before the switch
        await holding.execute("SELECT FROM next_vectors WHERE guild_id = $1 FOR UPDATE", GUILD)
        forgetting = asyncio.create_task(stores.following.forget(GUILD, 100))
        await until_waiting(holding, 1)
        switching = asyncio.create_task(stores.following.switch(switch_model(), TARGET, 100))
        await until_waiting(holding, 2)

    await forgetting
    switched = await switching

    assert switched
    again = await stores.rag.claim(GUILD, 100, 60.0)
    assert {one.chunk_id for one in again} == {one.chunk_id for one in waiting}


async def test_while_too_many_passages_wait_a_switch_keeps_nobody_from_writing(
    databases: tuple[Database, Database], stores: Stores
) -> None:
    app, _ = databases
    await put(stores.rag, store_document(DISK))
    async with app.transaction(GUILD) as writing:
        await model_rows.settled(writing, GUILD, SHIPPED)

        switched = await asyncio.wait_for(
            stores.following.switch(switch_model(), TARGET, 0), timeout=30.0
        )

    assert not switched


async def test_what_waits_since_the_count_is_counted_with_the_lock_held(
    databases: tuple[Database, Database], stores: Stores
) -> None:
    app, _ = databases
    await put(stores.rag, store_document(DISK))
    waiting = await stores.following.waiting(GUILD, TARGET, "", 100)
    await stores.following.keep(GUILD, TARGET, next_vectors(waiting))
    async with app.transaction(GUILD) as writing:
        await model_rows.settled(writing, GUILD, SHIPPED)
        await writing.execute(_ONE_MORE, GUILD)
        switching = asyncio.create_task(stores.following.switch(switch_model(), TARGET, 0))
        await until_waiting(writing, 1)

    switched = await switching

    assert not switched
    assert await stores.rag.model(GUILD) == SHIPPED
