"""The RAG sage on PostgreSQL: its store, and the whole way from a write to a hit."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given

from actors.embedding.identity import SHIPPED
from actors.errors import StaleIndex
from actors.rag.backlog import Backlog
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import (
    DeleteDocument,
    FindEvidence,
    GetIndexStatus,
    Search,
    SearchMode,
    StoreDocument,
)
from actors.rag.postgres import PostgresRagStore
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.settings import IndexSettings
from actors.storage import outbox
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.log import LogReader
from tests.fixtures.rag_builders import (
    DISK,
    GUILD,
    OTHER_GUILD,
    QUEUE,
    context,
    delivery,
    event,
    number,
    review,
    store_document,
    task_created,
)
from tests.fixtures.rag_contract import RagStoreContract, attach_vectors, embedded, put
from tests.fixtures.rag_memory import WordEmbedder
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import append, opened, run_as_owner
from tests.fixtures.storing_contract import (
    DRAFTS,
    PROPERTY,
    Drafts,
    StoringContract,
    check_a_batch_is_its_documents,
)

pytestmark = pytest.mark.integration

# A long wait: another test on the same server may hold the log's horizon for a moment.
SETTINGS = IndexSettings(chunk_max_words=20, position_wait_s=5.0)


@pytest.fixture
async def database(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    for guild_id in (GUILD, OTHER_GUILD):
        await run_as_owner(
            fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild_id
        )
    async with opened(fresh_database.app_url) as app:
        yield app


@pytest.fixture
async def log_database(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    async with opened(fresh_database.log_url) as log:
        yield log


@pytest.fixture
def store(database: Database, log_database: Database) -> PostgresRagStore:
    return PostgresRagStore(database, log_database)


@pytest.fixture
async def library(store: PostgresRagStore, log_database: Database) -> AsyncIterator[Library]:
    made = Library(store, LogReader(log_database), SETTINGS)
    await made.load()
    following = asyncio.create_task(made.follow())
    yield made
    following.cancel()
    await asyncio.wait([following])
    await made.close()


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def pool(
    database: Database, store: PostgresRagStore, library: Library, embedder: WordEmbedder
) -> LocalPool:
    finder = Finder(store, library, embedder, SETTINGS)
    return LocalPool(RagSage(store, finder, SETTINGS).handlers(), Inbox(database))


async def store_it(pool: LocalPool, command: StoreDocument) -> tuple[str, Position]:
    outcome = await pool.ask_outcome(command)
    assert outcome.position is not None
    return outcome.unwrap().document_id, outcome.position


def search(text: str, position: Position | None, mode: SearchMode = SearchMode.LEXICAL) -> Search:
    return Search(context=context(), text=text, mode=mode, min_position=position)


class TestPostgresRagStore(RagStoreContract):
    """The contract that the store of the unit tests keeps as well."""


class TestStoringInPostgres(StoringContract):
    """The same of storing."""

    @pytest.fixture
    def log(self, log_database: Database) -> LogReader:
        return LogReader(log_database)

    @given(drafts=DRAFTS)
    @PROPERTY
    async def test_a_batch_is_its_documents_one_by_one(
        self, store: PostgresRagStore, log: LogReader, drafts: Drafts
    ) -> None:
        await check_a_batch_is_its_documents(store, log, drafts)


async def test_who_attaches_vectors_locks_in_the_order_of_who_stores(
    database: Database, store: PostgresRagStore
) -> None:
    document = await put(store, store_document(DISK))
    claimed = await store.claim(GUILD, 100, 60.0)
    async with database.transaction(GUILD) as storing:
        await storing.execute("SELECT FROM sources WHERE guild_id = $1 FOR UPDATE", GUILD)
        attaching = asyncio.create_task(
            store.attach(attach_vectors(), embedded(claimed), SHIPPED.model_id)
        )
        await asyncio.sleep(0.2)
        await storing.execute("SELECT FROM chunks WHERE guild_id = $1 FOR UPDATE NOWAIT", GUILD)
        waited = not attaching.done()

    await attaching

    [(_, passages)] = await store.load(GUILD, [document.document_id])
    assert waited
    assert all(passage.vector is not None for passage in passages)


async def test_what_was_written_is_found_at_its_position(pool: LocalPool) -> None:
    document_id, position = await store_it(pool, store_document(QUEUE, external_id="ops/Queue"))

    hits = await pool.ask(search("order queue consumer", position))

    assert {hit.id for hit in hits.hits} == {document_id}
    assert hits.position is not None
    assert hits.position >= position


async def test_what_was_deleted_is_gone_at_its_position(pool: LocalPool) -> None:
    document_id, _ = await store_it(pool, store_document(QUEUE))
    gone = await pool.ask_outcome(
        DeleteDocument(context=context(), command_id=f"cmd_{number()}", document_id=document_id)
    )

    hits = await pool.ask(search("order queue consumer", gone.position))

    assert hits.hits == ()


async def test_a_position_that_the_log_never_reaches_is_stale(
    store: PostgresRagStore, log_database: Database
) -> None:
    impatient = IndexSettings(position_wait_s=0.01)
    library = Library(store, LogReader(log_database), impatient)
    await library.load()
    finder = Finder(store, library, WordEmbedder(), impatient)

    with pytest.raises(StaleIndex):
        await finder.search(search("anything", Position(1 << 60, 1)))

    await library.close()


async def test_a_member_that_starts_later_finds_the_same(
    pool: LocalPool, store: PostgresRagStore, log_database: Database
) -> None:
    document_id, position = await store_it(pool, store_document())
    late = Library(store, LogReader(log_database), SETTINGS)

    await late.load()

    passages = await late.ask(GUILD, lambda index: index.passages_of(document_id))
    await late.close()
    assert passages
    assert late.position is not None
    assert late.position >= position


async def test_a_task_is_found_at_its_position_before_the_router_brought_it(
    pool: LocalPool, database: Database
) -> None:
    async with database.transaction(GUILD) as tx:
        position = await outbox.append(
            tx,
            cause=store_document(),
            aggregate_id="task_1",
            version_before=0,
            payloads=[task_created()],
        )

    hits = await pool.ask(search("grow the volume", position))

    assert [hit.id for hit in hits.hits] == ["task_1"]


async def test_a_projection_delivered_twice_is_stored_once(
    pool: LocalPool, store: PostgresRagStore
) -> None:
    brought = delivery(event(review(), "know_1", 1))

    await pool.ask(brought)
    await pool.ask(brought)

    [(source, passages)] = await store.load(GUILD, ["know_1"])
    assert source.names == ("DiskFull",)
    assert len(passages) == 1


async def test_the_dense_leg_follows_and_says_so(
    pool: LocalPool,
    store: PostgresRagStore,
    library: Library,
    embedder: WordEmbedder,
    log_database: Database,
) -> None:
    _, position = await store_it(pool, store_document())
    await pool.ask(search("disk", position))
    backlog = Backlog(store, library, embedder, SETTINGS)

    while await backlog.embed_some(GUILD):
        pass

    whole_log = await LogReader(log_database).scan(Position(0, 0), 1000)
    await library.reach(GUILD, whole_log.end)
    status = await pool.ask(GetIndexStatus(context=context()))
    assert (status.dense_pending, status.passages > 0) == (0, True)


async def test_the_dossier_has_the_review_the_runbook_and_its_steps(pool: LocalPool) -> None:
    await store_it(pool, store_document(DISK))
    outcome = await pool.ask_outcome(delivery(event(review(), "know_1", 1)))
    asked = FindEvidence(
        context=context(),
        incident_id="inc_2",
        title="Disk of db-2",
        alert_names=("DiskFull",),
        min_position=outcome.position,
    )

    found = await pool.ask(asked)

    assert [line.source_id for line in found.similar] == ["know_1"]
    assert found.runbook is not None
    assert found.runbook.external_id == "ops/DiskFull"
    assert [step.title for step in found.steps] == [
        "Remove rotated log files older than a week.",
        "Grow the volume by a tenth.",
    ]


async def test_other_events_of_the_log_do_not_stop_the_tail(
    pool: LocalPool, database: Database
) -> None:
    async with database.transaction(GUILD) as tx:
        await append(tx, GUILD, "inc_9")
    _, position = await store_it(pool, store_document(QUEUE))

    hits = await pool.ask(search("order queue", position))

    assert hits.hits
