"""Feedback on PostgreSQL: the store's contract, and who gives it at the same time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.rag.feedback.postgres import PostgresFeedbackStore
from actors.rag.postgres import PostgresRagStore
from tests.fixtures.feedback_contract import (
    FeedbackStoreContract,
    Stores,
    feedback,
    give_vectors,
    say,
)
from tests.fixtures.rag_builders import GUILD, OTHER_GUILD
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration


@pytest.fixture
async def stores(fresh_database: PreparedDatabase) -> AsyncIterator[Stores]:
    for guild_id in (GUILD, OTHER_GUILD):
        await run_as_owner(
            fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild_id
        )
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as log:
        yield Stores(PostgresRagStore(app, log), PostgresFeedbackStore(app))


class TestPostgresFeedbackStore(FeedbackStoreContract):
    """The contract that the store of the unit tests keeps as well."""


async def test_of_those_who_speak_at_once_each_is_heard(stores: Stores) -> None:
    await give_vectors(stores)
    given = [feedback(f"query {number}") for number in range(20)]

    await asyncio.gather(*(say(stores.feedback, one) for one in given))

    assert len(await stores.feedback.kept(GUILD)) == 20
