"""A guild switches its model while members search it: no index ever holds two models."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.embedding.messages import Vectors
from actors.errors import DependencyUnavailable
from actors.rag.messages import DeleteDocument, SearchMode
from actors.rag.reembedding.work import Bounds, EmbedPassages, Moved, Reembedding
from tests.fixtures.rag_builders import (
    DISK,
    GUILD,
    QUEUE,
    context,
    delivery,
    event,
    number,
    review,
    store_document,
)
from tests.fixtures.rag_memory import word_vector
from tests.fixtures.reembedding_contract import TARGET
from tests.fixtures.reembedding_memory import MemoryReembeddingStore
from tests.unit.rag.test_models import Member, caught_up, member, search

BOUNDS = Bounds(batch=2, batches=2, rounds=5, cleared=10)


class Work:
    """Re-embeds the guild; remembers what it has embedded."""

    def __init__(self, store: MemoryReembeddingStore, target: ModelIdentity = TARGET) -> None:
        self.texts: list[str] = []
        self.fails_after: int | None = None
        self._target = target
        self._work = Reembedding(store, target, self._embed, BOUNDS)

    async def __call__(self) -> Moved:
        moved = await self._work.look(GUILD)
        await self._work.move(GUILD, moved)
        return moved

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        await asyncio.sleep(0)
        if self.fails_after is not None and len(self.texts) >= self.fails_after:
            raise DependencyUnavailable("the next embedder")
        self.texts += texts
        return np.stack([word_vector(text, self._target.dimension) for text in texts])


@pytest.fixture
async def here() -> AsyncIterator[Member]:
    """A member that can embed in both models; its guild has one document, in the first."""
    store = MemoryReembeddingStore()
    made = await member(store, SHIPPED, TARGET)
    await made.pool.ask(store_document(DISK))
    await caught_up(made)
    yield made
    await made.library.close()


async def settled(one: Member) -> None:
    """The log is read, the index swapped, every passage embedded."""
    await caught_up(one)
    await one.library.settled()
    await caught_up(one)


def store_of(one: Member) -> MemoryReembeddingStore:
    store = one.backlog._store
    assert isinstance(store, MemoryReembeddingStore)
    return store


async def test_a_member_answers_in_the_former_model_until_its_index_is_swapped(
    here: Member,
) -> None:
    moved = await Work(store_of(here))()
    before = await here.pool.ask(search(SearchMode.DENSE))
    former = here.library.model(GUILD)
    with_words = await here.pool.ask(search(SearchMode.HYBRID))

    await settled(here)

    after = await here.pool.ask(search(SearchMode.DENSE))
    assert moved.switched
    assert (former, here.library.model(GUILD)) == (SHIPPED, TARGET)
    assert with_words.dense_weight > 0
    assert {hit.id for hit in before.hits} == {hit.id for hit in after.hits} != set()
    assert await here.library.verify(GUILD)
    assert await here.library.ask(GUILD, lambda index: index.without_vector) == 0


async def test_an_exact_search_is_embedded_in_the_model_of_the_rows(here: Member) -> None:
    await Work(store_of(here))()

    found = await here.pool.ask(search(SearchMode.EXACT))

    assert here.library.model(GUILD) == SHIPPED
    assert found.hits


async def test_what_is_read_while_the_index_is_built_is_in_it(here: Member) -> None:
    await Work(store_of(here))()
    await here.library.catch_up()  # the index is being built from now on

    changed = await here.pool.ask(store_document(DISK.replace("tenth", "fifth")))
    new = await here.pool.ask(store_document(QUEUE, external_id="queue"))
    while await here.library.catch_up():
        pass
    await settled(here)

    assert await here.library.verify(GUILD)
    held = await here.library.ask(
        GUILD, lambda index: {changed.document_id in index, new.document_id in index}
    )
    assert held == {True}
    assert await here.library.ask(GUILD, lambda index: index.without_vector) == 0


async def test_a_task_that_no_row_knows_yet_survives_the_swap(here: Member) -> None:
    await Work(store_of(here))()
    store_of(here).log.append(GUILD, "know_1", 1, review())

    await settled(here)

    assert await here.library.ask(GUILD, lambda index: "know_1" in index)
    await here.pool.ask(delivery(event(review(), "know_1", 1)))
    await settled(here)
    assert await here.library.verify(GUILD)


async def test_a_run_that_failed_is_gone_on_with_and_embeds_nothing_twice(here: Member) -> None:
    for page in range(6):
        await here.pool.ask(store_document(f"# Page {page}\n\nText.", external_id=f"{page}"))
    work = Work(store_of(here))
    work.fails_after = 4
    with pytest.raises(DependencyUnavailable):
        await work()
    half = len(work.texts)
    assert await store_of(here).model(GUILD) == SHIPPED

    work.fails_after = None
    moved = await work()

    assert moved.switched
    assert 0 < half < len(work.texts) == moved.passages
    assert moved.embedded == moved.passages - half


async def test_passages_that_are_written_meanwhile_are_embedded_in_the_next_round(
    here: Member,
) -> None:
    work = Work(store_of(here))
    written: list[str] = []

    async def embed(texts: Sequence[str]) -> Vectors:
        if len(written) < 5:
            name = f"late-{len(written)}"
            written.append(name)
            await here.pool.ask(store_document(f"# {name}\n\nText.", external_id=name))
        return await work._embed(texts)

    moved = await moved_with(store_of(here), embed)

    assert moved.switched
    assert moved.passages - moved.ready <= BOUNDS.batch
    await settled(here)
    assert await here.library.verify(GUILD)


async def test_a_guild_that_changes_too_fast_is_not_switched(here: Member) -> None:
    work = Work(store_of(here))

    async def embed(texts: Sequence[str]) -> Vectors:
        for _ in range(3):
            name = f"late-{number()}"
            await here.pool.ask(store_document(f"# {name}\n\nText.", external_id=name))
        return await work._embed(texts)

    moved = await moved_with(store_of(here), embed)

    assert (moved.switched, moved.rounds) == (False, BOUNDS.rounds)
    assert await store_of(here).model(GUILD) == SHIPPED


async def test_a_guild_that_is_in_the_model_is_left_as_it_is(here: Member) -> None:
    work = Work(store_of(here))
    await work()
    events = len(store_of(here).log.events)
    texts = len(work.texts)

    again = await work()

    assert (again.switched, again.embedded) == (True, 0)
    assert (len(store_of(here).log.events), len(work.texts)) == (events, texts)


async def moved_with(store: MemoryReembeddingStore, embed: EmbedPassages) -> Moved:
    work = Reembedding(store, TARGET, embed, BOUNDS)
    moved = await work.look(GUILD)
    await work.move(GUILD, moved)
    return moved


ACTIONS = ("store", "change", "delete", "ahead", "read", "embed", "move", "back", "settle")


@settings(max_examples=60, deadline=None)
@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=25))
def test_whatever_happens_in_whatever_order_the_index_becomes_the_rows(
    actions: list[str],
) -> None:
    asyncio.run(play(actions))


async def play(actions: Sequence[str]) -> None:
    """Searches after each step; in the end index and rows must agree."""
    store = MemoryReembeddingStore()
    one = await member(store, SHIPPED, TARGET)
    documents: list[str] = []
    try:
        for step, action in enumerate(actions):
            await act(one, action, step, documents)
            await one.pool.ask(search(SearchMode.HYBRID))
        await settled(one)
        await settled(one)
        assert one.library.model(GUILD) == (await store.model(GUILD) or SHIPPED)
        assert await one.library.verify(GUILD)
        assert await one.library.ask(GUILD, lambda index: index.without_vector) == 0
    finally:
        await one.library.close()


async def act(one: Member, action: str, step: int, documents: list[str]) -> None:
    """One step of a history."""
    match action:
        case "store" | "change":
            name = f"page-{step}" if action == "store" else "page"
            content = f"# Page {step}\n\nRotated log files of {step}."
            stored = await one.pool.ask(store_document(content, external_id=name))
            documents.append(stored.document_id)
        case "delete" if documents:
            gone = documents.pop()
            if gone not in documents:
                command_id = f"cmd_{number()}"
                await one.pool.ask(
                    DeleteDocument(context=context(), command_id=command_id, document_id=gone)
                )
        case "ahead":
            store_of(one).log.append(GUILD, "know_1", step + 1, review())
            await one.library.catch_up()
            await one.pool.ask(delivery(event(review(), "know_1", step + 1)))
        case "read":
            await one.library.catch_up()
        case "embed":
            await one.backlog.embed_some(GUILD)
        case "move" | "back":
            await Work(store_of(one), TARGET if action == "move" else SHIPPED)()
        case "settle":
            await one.library.settled()
