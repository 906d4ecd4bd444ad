"""Search is never silently behind what was written or deleted, and exact where it says so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from actors import clock
from actors.errors import StaleIndex
from actors.rag.backlog import Backlog
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import DeleteDocument, Filters, Search, SearchMode, StoreDocument
from actors.rag.postgres import PostgresRagStore
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.settings import IndexSettings
from actors.storage.inbox import Inbox
from actors.storage.log import LogReader
from cluster.services import PostgresServer
from tests.fixtures.rag_builders import DISK, GUILD, QUEUE, context, number, store_document
from tests.fixtures.rag_memory import WordEmbedder, word_vector
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration

# Nothing follows the log here: reading out of turn must end, however busy the machine is.
SETTINGS = IndexSettings(
    tail_poll_s=0.05,
    embed_poll_s=0.02,
    position_wait_s=0.2,
    ahead_timeout_s=20.0,
    removals_timeout_s=20.0,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the pool: its own index of the same database."""

    library: Library
    backlog: Backlog
    pool: LocalPool

    async def store(self, command: StoreDocument) -> tuple[str, Position]:
        outcome = await self.pool.ask_outcome(command)
        assert outcome.position is not None
        return outcome.unwrap().document_id, outcome.position

    async def delete(self, document_id: str) -> None:
        await self.pool.ask(
            DeleteDocument(context=context(), command_id=f"cmd_{number()}", document_id=document_id)
        )

    async def find(self, text: str, **fields: Any) -> set[str]:
        query = Search(context=context(), text=text, **{"mode": SearchMode.LEXICAL, **fields})
        return {hit.id for hit in (await self.pool.ask(query)).hits}

    async def embed_all(self) -> None:
        while await self.library.catch_up():
            pass
        while await self.backlog.embed_some(GUILD):
            await self.library.catch_up()


@pytest.fixture
async def members(fresh_database: PreparedDatabase) -> AsyncIterator[tuple[Member, Member]]:
    """Two members; none follows the log unless the test makes it."""
    await run_as_owner(fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", GUILD)
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as log:
        store = PostgresRagStore(app, log)
        made = []
        for _ in range(2):
            library = Library(store, LogReader(log), SETTINGS)
            await library.load()
            embedder = WordEmbedder()
            finder = Finder(store, library, embedder, SETTINGS)
            pool = LocalPool(RagSage(store, finder, SETTINGS).handlers(), Inbox(app))
            made.append(Member(library, Backlog(store, library, embedder, SETTINGS), pool))
        yield made[0], made[1]
        for member in made:
            await member.library.close()


async def test_a_write_is_found_on_another_member_while_a_stranger_holds_the_horizon(
    members: tuple[Member, Member], postgres_server: PostgresServer
) -> None:
    here, there = members
    stranger = await asyncpg.connect(postgres_server.admin_url)
    async with stranger.transaction():
        await stranger.fetchval("SELECT pg_current_xact_id()::text")
        document_id, position = await here.store(store_document(QUEUE))
        await there.library.catch_up()

        found = await there.find("order queue consumer", min_position=position)

    await stranger.close()
    assert found == {document_id}


async def test_a_write_is_read_out_of_turn_where_the_tail_is_away(
    members: tuple[Member, Member],
) -> None:
    here, there = members
    document_id, position = await here.store(store_document(QUEUE))

    found = await there.find("order queue consumer", min_position=position)

    assert found == {document_id}
    assert there.library.position is not None
    assert there.library.position < position


async def test_what_was_deleted_is_gone_on_every_member_at_once(
    members: tuple[Member, Member],
) -> None:
    here, there = members
    document_id, position = await here.store(store_document(QUEUE))
    assert await there.find("order queue consumer", min_position=position) == {document_id}

    await here.delete(document_id)
    after = await asyncio.gather(*(there.find("order queue consumer") for _ in range(20)))

    assert after == [set()] * 20


async def test_what_comes_back_after_its_deletion_stays(members: tuple[Member, Member]) -> None:
    here, there = members
    document_id, _ = await here.store(store_document(QUEUE, external_id="queue"))
    await here.delete(document_id)
    again, position = await here.store(store_document(QUEUE, external_id="queue"))

    early = await there.find("order queue consumer", min_position=position)
    await there.library.catch_up()

    assert again == document_id
    assert early == await there.find("order queue consumer") == {document_id}


async def test_the_meaning_of_a_write_is_found_when_it_is_asked_for(
    members: tuple[Member, Member],
) -> None:
    here, there = members
    document_id, position = await here.store(store_document(QUEUE))
    wanted: dict[str, Any] = {
        "min_position": position,
        "dense_too": True,
        "mode": SearchMode.DENSE,
    }
    with pytest.raises(StaleIndex):
        await there.find("order queue consumer", wait_s=0.05, **wanted)

    await here.embed_all()
    await there.library.catch_up()

    assert await there.find("order queue consumer", **wanted) == {document_id}


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(), {"disk", "queue"}),
        (Filters(kinds=frozenset({"runbook"})), {"disk"}),
        (Filters(types=frozenset({"task"})), set()),
        (Filters(tags=frozenset({"storage"})), {"disk"}),
        (Filters(statuses=frozenset({"active"}), access=frozenset({"public"})), {"disk", "queue"}),
        (Filters(access=frozenset({"private"})), set()),
        (Filters(since=clock.now() + timedelta(days=1)), set()),
        (Filters(until=clock.now() + timedelta(days=1)), {"disk", "queue"}),
    ],
)
@pytest.mark.parametrize("mode", [SearchMode.EXACT, SearchMode.DENSE])
async def test_exact_and_dense_search_keep_the_same_filters(
    members: tuple[Member, Member], mode: SearchMode, filters: Filters, kept: set[str]
) -> None:
    here, _ = members
    names = {
        (await here.store(store_document(text, external_id=name)))[0]: name
        for name, text in (("disk", DISK), ("queue", QUEUE))
    }
    await here.embed_all()

    found = await here.find(
        "", vector=word_vector("order queue disk").tobytes(), mode=mode, filters=filters, top_k=50
    )

    assert {names[one] for one in found} == kept
