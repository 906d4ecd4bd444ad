"""Feedback on PostgreSQL: the store's contract, who speaks at once, and the whole way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from actors.rag.backlog import Backlog
from actors.rag.feedback.desk import FeedbackDesk
from actors.rag.feedback.postgres import PostgresFeedbackStore
from actors.rag.feedback.weights import Weights
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import GiveFeedback, Search
from actors.rag.postgres import PostgresRagStore
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.settings import IndexSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.log import LogReader
from tests.fixtures.feedback_contract import (
    FeedbackStoreContract,
    Stores,
    feedback,
    give_vectors,
    say,
)
from tests.fixtures.rag_builders import GUILD, OTHER_GUILD, context, number
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner
from tests.fixtures.two_legs import DOCUMENTS, TopicEmbedder, document, question

pytestmark = pytest.mark.integration

# Long waits: another test on the same server may hold the log's horizon for a moment.
SETTINGS = IndexSettings(position_wait_s=10.0, ahead_timeout_s=20.0, removals_timeout_s=10.0)
TAUGHT = range(12)


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
    return Stores(PostgresRagStore(*databases), PostgresFeedbackStore(databases[0]))


@dataclass(frozen=True, slots=True)
class Member:
    library: Library
    backlog: Backlog
    pool: LocalPool


def member_of(databases: tuple[Database, Database], stores: Stores) -> Member:
    app, log = databases
    weights, embedder = Weights(stores.feedback), TopicEmbedder()
    library = Library(stores.rag, LogReader(log), SETTINGS, weights=weights)
    finder = Finder(stores.rag, library, embedder, SETTINGS)
    desk = FeedbackDesk(stores.feedback, stores.rag, finder, SETTINGS)
    sage = RagSage(stores.rag, finder, SETTINGS, desk)
    backlog = Backlog(stores.rag, library, embedder, SETTINGS)
    return Member(library, backlog, LocalPool(sage.handlers(), Inbox(app)))


class TestPostgresFeedbackStore(FeedbackStoreContract):
    """The contract that the store of the unit tests keeps as well."""


async def test_of_those_who_speak_at_once_each_is_heard(stores: Stores) -> None:
    await give_vectors(stores)
    given = [feedback(f"query {number}") for number in range(20)]

    await asyncio.gather(*(say(stores.feedback, one) for one in given))

    assert len(await stores.feedback.kept(GUILD)) == 20


async def test_what_one_member_hears_all_have_learnt_and_so_has_who_starts_later(
    databases: tuple[Database, Database], stores: Stores
) -> None:
    first, second, late = (member_of(databases, stores) for _ in range(3))
    for member in (first, second):
        await member.library.load()
    stored = [await first.pool.ask_outcome(document(topic)) for topic in range(DOCUMENTS)]
    ids = [one.unwrap().document_id for one in stored]
    await first.library.reach(GUILD, stored[-1].position, timeout_s=0.1)
    while await first.backlog.embed_some(GUILD):
        await first.library.catch_up()
    given = [
        GiveFeedback(
            context=context(),
            command_id=f"cmd_{number()}",
            query=question(topic),
            source_id=ids[topic],
            relevant=True,
        )
        for topic in TAUGHT
    ]
    outcomes = [await first.pool.ask_outcome(command) for command in given]
    again = await first.pool.ask_outcome(given[-1])

    await late.library.load()
    asked = Search(
        context=context(), text=question(20), min_position=outcomes[-1].position, wait_s=0.1
    )
    hits = [await member.pool.ask(asked) for member in (first, second, late)]

    assert again == outcomes[-1]
    assert again.unwrap().feedbacks == len(TAUGHT)
    assert [one.library.weights.bias(GUILD) for one in (first, second, late)] == [0.5] * 3
    assert {found.hits[0].id for found in hits} == {ids[20]}
    for member in (first, second, late):
        await member.library.close()
