"""The Knowledge sage's store on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.errors import VersionConflict
from actors.knowledge.actor import KnowledgeMember
from actors.knowledge.messages import CreateCategory, ListCategories, ListEntities, UpdateEntity
from actors.knowledge.postgres import PostgresKnowledgeStore
from actors.knowledge.sage import KnowledgeSage
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.settings import DatabaseSettings, KnowledgeSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.log import of_correlation
from tests.fixtures.knowledge_builders import (
    GUILD,
    OTHER_GUILD,
    add,
    context,
    create_entity,
    delivery,
    key,
    new_entity,
    review,
)
from tests.fixtures.knowledge_contract import KnowledgeStoreContract
from tests.fixtures.one_database import OneDatabase
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
async def database(module_database: PreparedDatabase) -> AsyncIterator[Database]:
    owner = await asyncpg.connect(module_database.admin_url)
    await owner.execute(
        "INSERT INTO guilds (guild_id, name) VALUES ($1, 'one'), ($2, 'two')"
        " ON CONFLICT DO NOTHING",
        GUILD,
        OTHER_GUILD,
    )
    opened = await Database.open(module_database.app_url, DatabaseSettings(), connections=4)
    yield opened
    await opened.close()
    await owner.execute(
        "TRUNCATE knowledge_entities, knowledge_versions, knowledge_categories, events, inbox"
        " CASCADE"
    )
    await owner.close()


@pytest.fixture
def store(database: Database) -> PostgresKnowledgeStore:
    return PostgresKnowledgeStore(database)


@pytest.fixture
def pool(database: Database, store: PostgresKnowledgeStore) -> LocalPool:
    return LocalPool(KnowledgeSage(store, KnowledgeSettings()).handlers(), Inbox(database))


class TestPostgresKnowledgeStore(KnowledgeStoreContract):
    """The contract, with row-level security under it."""


async def test_row_security_hides_every_table_from_other_guilds(
    pool: LocalPool, database: Database
) -> None:
    await pool.ask(create_entity())
    await pool.ask(
        CreateCategory(context=context(), command_id=key(), category_id="disk", name="Disk")
    )
    counting = (
        "SELECT (SELECT count(*) FROM knowledge_entities)"
        " + (SELECT count(*) FROM knowledge_versions)"
        " + (SELECT count(*) FROM knowledge_categories)"
    )

    async with database.read(GUILD) as tx:
        ours = await tx.fetchval(counting)
    async with database.read(OTHER_GUILD) as tx:
        theirs = await tx.fetchval(counting)

    assert (ours, theirs) == (3, 0)


async def test_an_event_delivered_to_many_members_at_once_takes_effect_once(
    database: Database, store: PostgresKnowledgeStore
) -> None:
    members = [
        LocalPool(KnowledgeSage(store, KnowledgeSettings()).handlers(), Inbox(database))
        for _ in range(4)
    ]
    command = delivery(review())

    outcomes = await asyncio.gather(*(member.ask_outcome(command) for member in members))
    again = await members[0].ask_outcome(command)

    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    listed = await members[0].ask(ListEntities(context=context()))
    log = await of_correlation(database, GUILD, "cor_incident", 100)
    assert len(errors) < len(members)
    assert all(error.retryable for error in errors)
    assert again.error is None
    assert len(listed.entities) == 1
    assert [event.type for event in log] == ["sage.knowledge.created"]
    assert (log[0].causation_id, log[0].principal_id) == (command.event.event_id, "sage.knowledge")


async def test_of_two_edits_at_once_one_wins_and_none_is_lost(pool: LocalPool) -> None:
    entity = await pool.ask(create_entity())
    edits = [
        UpdateEntity(
            context=context(),
            command_id=key(),
            entity_id=entity.entity_id,
            expected_version=1,
            title=f"edit {index}",
        )
        for index in range(4)
    ]

    outcomes = await asyncio.gather(*(pool.ask_outcome(edit) for edit in edits))

    errors = [type(outcome.error) for outcome in outcomes if outcome.error is not None]
    assert errors == [VersionConflict] * 3


async def test_a_repeated_command_answers_the_first_reply(pool: LocalPool) -> None:
    command = create_entity("Once")

    first = await pool.ask_outcome(command)
    again = await pool.ask_outcome(command)

    assert first.reply == again.reply
    assert first.position == again.position is not None


async def test_a_category_survives_its_member(
    pool: LocalPool, database: Database, store: PostgresKnowledgeStore
) -> None:
    command = CreateCategory(
        context=context(), command_id=key(), category_id="disk", name="Disk", parent_id="tools"
    )
    category = await pool.ask(command)
    another = LocalPool(KnowledgeSage(store, KnowledgeSettings()).handlers(), Inbox(database))

    tree = await another.ask(ListCategories(context=context()))

    assert category in tree.categories


async def test_lists_use_an_index_under_row_security(
    database: Database, store: PostgresKnowledgeStore
) -> None:
    for index in range(30):
        await add(store, new_entity(str(index)))

    async with database.transaction(GUILD) as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        plan = await tx.fetch(
            "EXPLAIN SELECT title FROM knowledge_entities WHERE guild_id = $1"
            " AND (created_at, entity_id) < (now(), 'z')"
            " ORDER BY created_at DESC, entity_id DESC LIMIT 20",
            GUILD,
        )

    text = "\n".join(row[0] for row in plan)
    assert "Index Scan Backward using idx_knowledge_created_at" in text
    assert "Sort" not in text


async def test_a_member_opens_with_its_store_and_its_ledger(database: Database) -> None:
    host = OneDatabase(database)

    handlers = await KnowledgeMember(MemberIdentity("knowledge", 1, 0)).open(host)

    assert host.ledger is not None
    assert await LocalPool(handlers, host.ledger).ask(ListEntities(context=context()))
