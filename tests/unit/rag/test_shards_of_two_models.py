"""Members switch a guild's model one after the other: no search compares vectors of two models."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.embedding.messages import Vectors
from actors.errors import DependencyUnavailable
from actors.rag.messages import DeleteDocument, FindEvidence, Search, SearchHits, SearchMode
from actors.rag.reembedding.work import Bounds, Reembedding
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import GUILD, context, number, store_document
from tests.fixtures.rag_members import MemberOfMany, MemoryPeers
from tests.fixtures.rag_memory import WordEmbedder, word_vector
from tests.fixtures.reembedding_contract import TARGET
from tests.fixtures.reembedding_memory import MemoryReembeddingStore

NAMES = ("rag/1/0", "rag/1/1")
BOUNDS = Bounds(batch=2, batches=2, rounds=5, cleared=10)
PAGES = 12


class World:
    """Members that hold shards of a guild, in one of two models."""

    def __init__(self, replicas: int = 1, names: Sequence[str] = NAMES) -> None:
        self.settings = IndexSettings(
            shards=4, replicas=replicas, chunk_max_words=20, gather_timeout_s=5.0
        )
        self.store = MemoryReembeddingStore()
        self.peers = MemoryPeers()
        self.members = [self.member(name, tuple(names)) for name in names]

    def member(self, name: str, members: tuple[str, ...]) -> MemberOfMany:
        embedder = WordEmbedder(SHIPPED, TARGET)
        log = self.store.log
        return MemberOfMany(
            name, self.peers, self.store, log, embedder, self.settings, members=members
        )

    async def start(self, pages: int = PAGES) -> None:
        for member in self.members:
            await member.join()
        for page in range(pages):
            await self.write(f"page-{page}")
        await self.settle()

    async def write(self, name: str, at: int = 0) -> str:
        content = f"# {name}\n\nRotated log files, for {name} of {number()}."
        stored = await self.members[at].pool.ask(store_document(content, external_id=name))
        return stored.document_id

    async def settle(self) -> None:
        """Everybody has read the log and swapped, and every passage is embedded."""
        for _ in range(3):  # what one embeds the others read
            for member in self.members:
                await follow(member)
                await member.embed(GUILD)

    async def move(self, target: ModelIdentity = TARGET) -> None:
        """The rows switch; no member has read of it."""

        async def embed(texts: Sequence[str]) -> Vectors:
            await asyncio.sleep(0)
            return np.stack([word_vector(text, target.dimension) for text in texts])

        work = Reembedding(self.store, target, embed, BOUNDS)
        await work.move(GUILD, await work.look(GUILD))

    async def search(self, at: int, **fields: Any) -> SearchHits:
        query = Search(context=context(), text="rotated log files", top_k=100, **fields)
        return await self.members[at].pool.ask(query)

    async def close(self) -> None:
        for member in self.members:
            await member.library.close()


async def follow(member: MemberOfMany) -> None:
    """Reads the log to its end, and swaps."""
    await member.catch_up()
    await member.library.settled()


def models_of(member: MemberOfMany) -> set[ModelIdentity]:
    held = member.holding.held(GUILD)
    return {member.library.model_held(GUILD, shard) for shard in held}


def by_meaning(member: MemberOfMany, found: SearchHits) -> set[bool]:
    """Whether the hits in the shards of a member have a place in the dense leg."""
    held = member.holding.held(GUILD)
    mine = [hit for hit in found.hits if member.holding.shard_of(hit.id) in held]
    return {"dense" in hit.legs for hit in mine}


async def passages_of(member: MemberOfMany) -> int:
    return sum(
        [
            await member.library.ask(GUILD, lambda index: index.passages, shard)
            for shard in member.holding.held(GUILD)
        ]
    )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.start()
    yield made
    await made.close()


async def test_a_shard_in_another_model_answers_by_its_words_and_says_so(world: World) -> None:
    first, second = world.members
    await world.move()
    await follow(first)
    models = models_of(first), models_of(second)

    new, old = await world.search(0), await world.search(1)

    assert models == ({TARGET}, {SHIPPED})
    for found, here, there in ((new, first, second), (old, second, first)):
        assert len(found.hits) == PAGES
        assert not found.partial
        assert (by_meaning(here, found), by_meaning(there, found)) == ({True}, {False})
        assert found.dense_pending == await passages_of(there)
        assert found.dense_weight > 0


async def test_when_all_have_switched_all_answer_by_their_meaning(world: World) -> None:
    await world.move()

    await world.settle()
    found = [await world.search(at, mode=mode) for at in (0, 1) for mode in SearchMode]

    assert [models_of(member) for member in world.members] == [{TARGET}, {TARGET}]
    assert {one.dense_pending for one in found} == {0}
    assert {len(one.hits) for one in found} == {PAGES}
    assert [await member.library.verify(GUILD) for member in world.members] == [True, True]


async def test_a_search_by_meaning_alone_leaves_out_shards_of_another_model(world: World) -> None:
    await world.move()
    await follow(world.members[0])

    found = await world.search(0, mode=SearchMode.DENSE)

    others = len(world.members[1].holding.held(GUILD))
    assert (found.partial, found.missing_shards) == (True, others)
    assert by_meaning(world.members[0], found) == {True}
    assert by_meaning(world.members[1], found) == set()


async def test_a_search_by_meaning_alone_asks_another_holder_that_has_switched() -> None:
    world = World(replicas=2, names=("rag/1/0", "rag/1/1", "rag/1/2"))
    await world.start()
    await world.move()
    for member in world.members[:2]:  # one of both holders of each shard, at least
        await follow(member)

    found = [await world.search(0, mode=SearchMode.DENSE) for _ in range(10)]

    assert {(one.partial, len(one.hits)) for one in found} == {(False, PAGES)}
    await world.close()


async def test_a_dossier_is_put_together_while_the_shards_switch(world: World) -> None:
    await world.move()
    await follow(world.members[0])
    question = FindEvidence(context=context(), incident_id="inc_1", title="rotated log files")

    found = [await member.pool.ask(question) for member in world.members]

    assert [one.partial for one in found] == [False, False]


async def test_a_member_that_holds_nothing_asks_in_the_model_of_those_who_do(world: World) -> None:
    stranger = world.member("rag/1/9", NAMES)
    await stranger.join()
    stranger.holding.held(GUILD).clear()
    world.members.append(stranger)
    await world.move()
    for member in world.members:
        await follow(member)

    found = await world.search(2, mode=SearchMode.DENSE)

    assert not stranger.holding.held(GUILD)
    assert (found.partial, len(found.hits)) == (False, PAGES)


async def test_who_is_told_of_another_model_by_a_shard_takes_it_without_an_event(
    world: World,
) -> None:
    first, second = world.members
    await world.move()
    await follow(second)

    before = await world.search(0)  # nobody has told the first one yet
    await first.library.settled()
    after = await world.search(0)

    assert (before.dense_pending > 0, after.dense_pending) == (True, 0)
    assert models_of(first) == {TARGET}


async def test_a_shard_that_is_taken_behind_a_switch_is_in_its_model_at_once(world: World) -> None:
    first = world.members[0]
    held = set(first.holding.held(GUILD))
    others = frozenset(range(4)) - held
    await world.move()

    await first.library.take(GUILD, others)
    models = {shard: first.library.model_held(GUILD, shard) for shard in range(4)}
    found = await world.search(0)
    await follow(first)

    assert models == dict.fromkeys(held, SHIPPED) | dict.fromkeys(others, TARGET)
    assert {hit.id for hit in found.hits if "dense" in hit.legs} != set()
    assert len(found.hits) == PAGES
    assert models_of(first) == {TARGET}
    assert await first.library.verify(GUILD)


async def test_a_shard_that_is_let_go_while_it_is_built_anew_stays_away(world: World) -> None:
    first = world.members[0]
    await world.move()
    await first.catch_up()  # its indexes are being built from now on
    gone, *_ = sorted(first.holding.held(GUILD))

    await first.library.drop(GUILD, gone)
    await first.library.settled()

    assert gone not in first.holding.held(GUILD)
    assert models_of(first) == {TARGET}
    assert await first.library.verify(GUILD)
    with pytest.raises(DependencyUnavailable):
        await first.library.ask(GUILD, len, gone)


ACTIONS = ("store", "change", "delete", "read", "embed", "move", "back", "take", "drop", "settle")
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1)), max_size=20)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_in_whatever_order_all_shards_become_the_rows(
    steps: list[tuple[str, int]],
) -> None:
    asyncio.run(play(steps))


async def play(steps: Sequence[tuple[str, int]]) -> None:
    """Searches after each step; in the end every shard and the rows must agree."""
    world = World()
    await world.start(pages=2)
    documents: list[str] = []
    try:
        for step, (action, at) in enumerate(steps):
            await act(world, action, at, step, documents)
            await world.search(1 - at)
        await world.settle()
        for member in world.members:
            assert models_of(member) <= {await world.store.model(GUILD)}
            assert await member.library.verify(GUILD)
            assert await member.library.waiting(GUILD) == 0
        if all(member.holding.held(GUILD) for member in world.members):
            found = [await world.search(at) for at in (0, 1)]
            assert [one.dense_pending for one in found] == [0, 0]
    finally:
        await world.close()


async def act(world: World, action: str, at: int, step: int, documents: list[str]) -> None:
    """One step of a history."""
    member = world.members[at]
    match action:
        case "store" | "change":
            name = f"late-{step}" if action == "store" else "page-0"
            documents.append(await world.write(name, at))
        case "delete" if documents:
            gone = documents.pop()
            if gone not in documents:
                await member.pool.ask(
                    DeleteDocument(
                        context=context(), command_id=f"cmd_{number()}", document_id=gone
                    )
                )
        case "read":
            await member.library.catch_up()
        case "embed":
            await member.backlog.embed_some(GUILD)
        case "move" | "back":
            await world.move(TARGET if action == "move" else SHIPPED)
        case "take":
            if lacking := frozenset(range(4)) - member.holding.held(GUILD):
                await member.library.take(GUILD, lacking)
        case "drop":
            mine = member.holding.held(GUILD)
            twice = mine & world.members[1 - at].holding.held(GUILD)
            if twice:
                await member.library.drop(GUILD, min(twice))
        case "settle":
            await member.library.settled()
