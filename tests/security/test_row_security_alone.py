"""The second wall: with the guild taken out of every statement, the rows are still the guild's."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from actors.embedding.identity import SHIPPED
from actors.errors import NotFound
from actors.knowledge.domain.access import Sight
from actors.knowledge.messages import AccessLevel, CreateEntity
from actors.knowledge.postgres import PostgresKnowledgeStore
from actors.knowledge.sage import KnowledgeSage
from actors.knowledge.store import EntityFilter
from actors.rag import sql
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import SearchMode
from actors.rag.postgres import PostgresRagStore
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId
from actors.settings import IndexSettings, KnowledgeSettings, TaskSettings
from actors.storage.database import Database, Transaction
from actors.storage.inbox import Inbox
from actors.storage.log import LogReader
from actors.task.messages import CreateTask
from actors.task.postgres import PostgresTaskStore
from actors.task.sage import TaskSage
from actors.task.store import TaskFilter
from tests.fixtures.rag_builders import GUILD, context, number, store_document
from tests.fixtures.rag_memory import WordEmbedder
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SETTINGS, new_vault, opened, run_as_owner
from tests.fixtures.twins import TWINS, Guild, foreign, searches, settled

pytestmark = pytest.mark.integration

INDEX = IndexSettings(max_results=200)
DOCUMENTS = 15
SEARCHES = 100  # of each guild
_PREDICATE = re.compile(r"(?:\w+\.)?guild_id = \$1")
_ANY_GUILD = "($1::text IS NOT NULL)"


class AnyGuild(Transaction):
    """Takes the guild out of what it is given to run."""

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        return await super().fetch(any_guild(query), *args)

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None:
        return await super().fetchrow(any_guild(query), *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await super().fetchval(any_guild(query), *args)


class RowSecurityAlone(Database):
    """A database whose readers have forgotten to ask for a guild."""

    @asynccontextmanager
    async def read(
        self, guild_id: GuildId, *, planned_once: bool = False
    ) -> AsyncIterator[Transaction]:
        async with super().read(guild_id, planned_once=planned_once) as tx:
            yield AnyGuild(tx._connection, tx.epoch, tx.vault)


def any_guild(query: str) -> str:
    """The statement without its guild."""
    open_to_all, places = _PREDICATE.subn(_ANY_GUILD, query)
    assert places, query
    return open_to_all


@pytest.fixture
async def guilds(fresh_database: PreparedDatabase) -> AsyncIterator[dict[GuildId, Guild]]:
    """Twins, each with documents, an entity of the same title and a task of the same name."""
    made = {}
    for guild_id in TWINS:
        await run_as_owner(
            fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild_id
        )
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as log:
        store = PostgresRagStore(app, log)
        finder = Finder(store, Library(store, LogReader(log), INDEX), WordEmbedder(), INDEX)
        inbox = Inbox(app)
        rag = LocalPool(RagSage(store, finder, INDEX).handlers(), inbox)
        knowledge = KnowledgeSage(PostgresKnowledgeStore(app), KnowledgeSettings())
        tasks = TaskSage(PostgresTaskStore(app), TaskSettings())
        for guild_id in TWINS:
            made[guild_id] = await settled(rag, guild_id, DOCUMENTS)
            by = context(guild_id)
            await LocalPool(knowledge.handlers(), inbox).ask(
                CreateEntity(
                    context=by,
                    command_id=f"cmd_{number()}",
                    title="twin",
                    content="the same",
                    category_id="general",
                )
            )
            await LocalPool(tasks.handlers(), inbox).ask(
                CreateTask(context=by, command_id=f"cmd_{number()}", name="twin")
            )
        yield made


@pytest.fixture
async def bare(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    """Of the role ``guild_app``, behind row security alone."""
    database = await RowSecurityAlone.open(fresh_database.app_url, SETTINGS, vault=new_vault())
    yield database
    await database.close()


@pytest.fixture
async def log(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    async with opened(fresh_database.log_url) as database:
        yield database


async def test_without_row_security_the_bare_statements_would_show_both_guilds(
    guilds: dict[GuildId, Guild], fresh_database: PreparedDatabase
) -> None:
    statement = any_guild(f"{sql.SOURCE} FROM sources WHERE guild_id = $1")
    admin = await asyncpg.connect(fresh_database.admin_url)

    rows = await admin.fetch(statement, GUILD)
    await admin.close()

    assert len(rows) >= 2 * DOCUMENTS


@pytest.mark.parametrize("alone", [False, True], ids=["both walls", "row security alone"])
async def test_exact_searches_find_nothing_of_the_twin(
    guilds: dict[GuildId, Guild],
    fresh_database: PreparedDatabase,
    bare: Database,
    log: Database,
    alone: bool,
) -> None:
    async with opened(fresh_database.app_url) as app:
        store = PostgresRagStore(bare if alone else app, log)
        library = Library(store, LogReader(log), INDEX)
        finder = Finder(store, library, WordEmbedder(), INDEX)
        found, strange = 0, []

        for guild_id, twin in TWINS.items():
            ours, theirs = guilds[guild_id], guilds[twin]
            for query in searches(ours, theirs, SearchMode.EXACT, SEARCHES):
                answer = await finder.search(query)
                found += len(answer.hits)
                strange += foreign(answer, ours)
        await library.close()

    assert strange == []
    assert found > SEARCHES


async def test_no_other_statement_of_search_shows_anything_of_the_twin(
    guilds: dict[GuildId, Guild], bare: Database, log: Database
) -> None:
    store = PostgresRagStore(bare, log)

    for guild_id, twin in TWINS.items():
        ours, theirs = guilds[guild_id], list(guilds[twin].document_ids)
        page = await store.page(guild_id, "", 1_000)
        named = store_document(external_id="page/0", context=context(guild_id))
        [known] = await store.look_up(guild_id, [named])

        assert {source.source_id for source, _ in page} == set(ours.document_ids)
        assert await store.load(guild_id, theirs) == []
        assert await store.sources(guild_id, theirs) == {}
        assert await store.text(guild_id, theirs[0], 1) is None
        assert await store.model(guild_id) == SHIPPED
        assert known.present is not None
        assert known.present.document_id == ours.document_ids[0]
        with pytest.raises(NotFound):
            await store.document(guild_id, theirs[0])


async def test_no_statement_of_knowledge_or_tasks_shows_anything_of_the_twin(
    guilds: dict[GuildId, Guild], bare: Database
) -> None:
    knowledge, tasks = PostgresKnowledgeStore(bare), PostgresTaskStore(bare)
    sight = Sight(levels=frozenset(AccessLevel), principal_id="usr_1")
    entities, names = {}, {}

    for guild_id in guilds:
        listed = await knowledge.page(guild_id, EntityFilter(sight=sight), 100, None)
        entities[guild_id] = [one.entity_id for one in listed.entities]
        todo = await tasks.page(guild_id, TaskFilter(), 100, None)
        names[guild_id] = [one.task_id for one in todo.tasks]

    for guild_id, twin in TWINS.items():
        [theirs], [task] = entities[twin], names[twin]
        assert len(entities[guild_id]) == len(names[guild_id]) == 1
        assert await knowledge.get(guild_id, theirs) is None
        assert await knowledge.get(guild_id, theirs, 1) is None
        versions = await knowledge.versions(guild_id, theirs, sight, 100, None)
        assert versions.versions == ()
        assert await knowledge.categories(guild_id) == []
        assert await tasks.get(guild_id, [task]) == {}
        assert await tasks.relations(guild_id, [task]) == []


async def test_no_table_shows_a_row_of_the_twin(
    guilds: dict[GuildId, Guild], fresh_database: PreparedDatabase
) -> None:
    admin = await asyncpg.connect(fresh_database.admin_url)
    tables = [
        row["relname"]
        for row in await admin.fetch(
            "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
            " WHERE attname = 'guild_id' AND relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace"
            " AND has_column_privilege('guild_app', pg_class.oid, attnum, 'SELECT')"
        )
    ]
    filled = [
        table
        for table in tables
        if await admin.fetchval(f'SELECT count(DISTINCT guild_id) FROM "{table}"') == len(TWINS)  # noqa: S608  # names from the catalogue
    ]
    await admin.close()
    seen = {}

    async with opened(fresh_database.app_url) as app:
        for guild_id in guilds:
            async with app.read(guild_id) as tx:
                for table in tables:
                    seen[guild_id, table] = await tx.fetchval(
                        f'SELECT count(*) FROM "{table}" WHERE guild_id <> $1',  # noqa: S608
                        guild_id,
                    )

    assert {place: count for place, count in seen.items() if count} == {}
    assert {"chunks", "documents", "events", "inbox", "knowledge_entities"} <= set(filled)
