"""Vectors of two models never meet: a member whose model is not the guild's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.errors import DependencyUnavailable
from actors.rag.backlog import Backlog
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import Search, SearchMode
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import DISK, GUILD, QUEUE, context, store_document
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder

SETTINGS = IndexSettings(chunk_max_words=20)
OTHER = ModelIdentity("other-words", 64)


@dataclass(frozen=True, slots=True)
class Member:
    """One that was started with a model of its own."""

    library: Library
    pool: LocalPool
    backlog: Backlog


async def member(store: MemoryRagStore, *models: ModelIdentity) -> Member:
    embedder = WordEmbedder(*models)
    library = Library(store, store.log, SETTINGS, models[0])
    await library.load()
    finder = Finder(store, library, embedder, SETTINGS)
    return Member(
        library,
        LocalPool(RagSage(store, finder, SETTINGS, model=models[0]).handlers()),
        Backlog(store, library, embedder, SETTINGS),
    )


@pytest.fixture
async def store() -> MemoryRagStore:
    """A guild whose documents have vectors of the shipped model."""
    made = MemoryRagStore(MemoryLog())
    first = await member(made, SHIPPED)
    await first.pool.ask(store_document(DISK))
    await caught_up(first)
    await first.library.close()
    return made


@pytest.fixture
async def stranger(store: MemoryRagStore) -> AsyncIterator[Member]:
    """A member whose embedder does not have the guild's model."""
    made = await member(store, OTHER)
    yield made
    await made.library.close()


async def caught_up(one: Member) -> None:
    while await one.library.catch_up() or await one.backlog.embed_some(GUILD):
        pass
    await one.library.catch_up()


def search(mode: SearchMode) -> Search:
    return Search(context=context(), text="rotated log files", mode=mode)


async def test_words_still_find_where_nobody_can_embed_in_the_guilds_model(
    stranger: Member,
) -> None:
    found = await stranger.pool.ask(search(SearchMode.HYBRID))

    assert found.hits
    assert found.dense_weight == 0.0
    assert all("dense" not in hit.legs for hit in found.hits)


@pytest.mark.parametrize("mode", [SearchMode.DENSE, SearchMode.EXACT])
async def test_a_search_by_meaning_alone_says_that_there_is_none(
    stranger: Member, mode: SearchMode
) -> None:
    with pytest.raises(DependencyUnavailable):
        await stranger.pool.ask(search(mode))


async def test_a_stranger_writes_no_vectors(stranger: Member, store: MemoryRagStore) -> None:
    await stranger.pool.ask(store_document(QUEUE, external_id="queue"))
    await stranger.library.catch_up()

    with pytest.raises(DependencyUnavailable):
        await stranger.backlog.embed_some(GUILD)

    assert await store.model(GUILD) == SHIPPED
    assert await stranger.library.verify(GUILD)


async def test_a_member_that_loaded_before_the_first_vector_takes_the_guilds_model() -> None:
    store = MemoryRagStore(MemoryLog())
    early = await member(store, OTHER, SHIPPED)
    await early.pool.ask(store_document(DISK))
    await early.library.catch_up()
    first = await member(store, SHIPPED)
    await caught_up(first)
    await early.library.catch_up()
    before = early.library.model(GUILD)

    assert not await early.backlog.embed_some(GUILD)
    await early.library.settled()

    assert (before, early.library.model(GUILD)) == (OTHER, SHIPPED)
    assert await early.library.ask(GUILD, lambda index: index.without_vector) == 0
    assert await early.library.verify(GUILD)
    for one in (early, first):
        await one.library.close()
