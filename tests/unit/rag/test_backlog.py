"""The backlog: several claims at a time, every guild in turn, one failure stops one guild."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import metrics
from actors.embedding.identity import ModelIdentity
from actors.embedding.messages import Embeddings
from actors.errors import DependencyUnavailable, ElderGuildError, VersionConflict
from actors.index.passage import Vector
from actors.rag.backlog import Backlog, dealt
from actors.rag.claims import Claim
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.runtime.message import Command, Context, GuildId
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import GUILD, store_document
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder
from tests.fixtures.reembedding_contract import TARGET, switch_model
from tests.fixtures.reembedding_memory import MemoryReembeddingStore

SETTINGS = IndexSettings(embed_claim=1, embed_claims=3)
BRIEF = 1e-3
GUILDS = st.sampled_from([GuildId(name) for name in "abcd"])


class BusyEmbedder(WordEmbedder):
    """Notes how many calls ran at the same time; cannot do with some words.

    Attributes:
        refused: no call with one of these words is answered.
        refusals: after so many it is away.
        waits_for: it answers nobody before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.running = 0
        self.most = 0
        self.refused: tuple[str, ...] = ()
        self.refusals = 1_000
        self.waits_for: asyncio.Event | None = None

    async def embed(
        self,
        texts: Sequence[str],
        context: Context,
        *,
        urgent: bool,
        timeout_s: float,
        model: ModelIdentity | None = None,
    ) -> Embeddings:
        self.running += 1
        self.most = max(self.most, self.running)
        if self.waits_for is not None:
            await self.waits_for.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        self.running -= 1
        self.away = self.away or self.refusals == 0
        if not self.away and any(word in text for text in texts for word in self.refused):
            self.refusals -= 1
            raise ElderGuildError("an unexpected failure")
        return await super().embed(texts, context, urgent=urgent, timeout_s=timeout_s, model=model)


@pytest.fixture
def embedder() -> BusyEmbedder:
    return BusyEmbedder()


class RefusingStore(MemoryRagStore):
    """Its transactions can be made to lose a race.

    Attributes:
        renewed: how often passages were kept for longer, and ``renewed_twice`` is set.
    """

    refuses = False

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.renewed: list[tuple[str, ...]] = []
        self.renewed_twice = asyncio.Event()

    async def release(
        self, guild_id: GuildId, chunk_ids: Sequence[str], after_s: float = 0.0
    ) -> None:
        if after_s == BRIEF:
            self.renewed.append(tuple(chunk_ids))
            if len(self.renewed) == 2:
                self.renewed_twice.set()
        await super().release(guild_id, chunk_ids, after_s)

    async def attach(
        self, cause: Command[None], vectors: Mapping[str, Vector], model_id: str
    ) -> None:
        if self.refuses:
            raise VersionConflict("record", "")
        await super().attach(cause, vectors, model_id)


@pytest.fixture
def store() -> RefusingStore:
    return RefusingStore(MemoryLog())


@pytest.fixture
async def library(embedder: BusyEmbedder, store: RefusingStore) -> AsyncIterator[Library]:
    """Eight documents wait for their vectors."""
    library = Library(store, store.log, SETTINGS)
    await library.load()
    finder = Finder(store, library, embedder, SETTINGS)
    pool = LocalPool(RagSage(store, finder, SETTINGS).handlers())
    for number in range(8):
        content = f"# Page {number}\n\nWhat to do about number {number}."
        await pool.ask(store_document(content, external_id=f"page-{number}"))
    while await library.catch_up():
        pass
    yield library
    await library.close()


@pytest.fixture
def backlog(embedder: BusyEmbedder, store: RefusingStore, library: Library) -> Backlog:
    return Backlog(store, library, embedder, SETTINGS)


@pytest.fixture
def whole(embedder: BusyEmbedder, store: RefusingStore, library: Library) -> Backlog:
    """All that waits is one claim."""
    return Backlog(store, library, embedder, IndexSettings(embed_claim=100))


async def embedded(library: Library) -> int:
    while await library.catch_up():
        pass
    return 8 - await library.waiting(GUILD)


async def test_a_round_embeds_as_many_claims_at_a_time_as_set(
    backlog: Backlog, embedder: BusyEmbedder
) -> None:
    done = await backlog.round()

    assert done == (True, False)
    assert embedder.most == 3
    assert len(embedder.asked) == 8


async def test_the_dense_lag_is_shown(backlog: Backlog) -> None:
    await backlog.round()

    lag = metrics.REGISTRY.get_sample_value("elders_guild_index_lag_events", {"leg": "dense"})
    assert lag == 8


async def test_an_embedder_that_is_away_is_not_asked_for_the_whole_round(
    backlog: Backlog, embedder: BusyEmbedder
) -> None:
    embedder.away = True

    done = await backlog.round()

    assert done == (False, True)
    assert len(embedder.asked) <= 3


async def test_nothing_is_embedded_in_a_model_that_the_guild_has_left(
    embedder: BusyEmbedder,
) -> None:
    log = MemoryLog()
    store = MemoryReembeddingStore(log)
    library = Library(store, log, SETTINGS)
    await library.load()
    pool = LocalPool(
        RagSage(store, Finder(store, library, embedder, SETTINGS), SETTINGS).handlers()
    )
    await pool.ask(store_document())
    while await library.catch_up():
        pass
    await store.switch(switch_model(), TARGET, most_left=100)

    worked = await Backlog(store, library, embedder, SETTINGS).embed_some(GUILD)

    assert not worked
    assert embedder.asked == []
    assert await store.claim(GUILD, 100, 60.0, TARGET)
    await library.close()


async def test_vectors_that_could_not_be_written_are_claimed_again_at_once(
    backlog: Backlog, store: RefusingStore
) -> None:
    store.refuses = True

    with pytest.raises(VersionConflict):
        await backlog.embed_some(GUILD)
    store.refuses = False

    assert len(await store.claim(GUILD, 100, 60.0)) == 8


async def test_a_claim_is_renewed_while_its_passages_are_embedded(
    embedder: BusyEmbedder, store: RefusingStore, library: Library
) -> None:
    embedder.waits_for = store.renewed_twice
    settings = IndexSettings(embed_claim=100, embed_claim_s=BRIEF)

    worked = await Backlog(store, library, embedder, settings).embed_some(GUILD)
    renewals = len(store.renewed)

    assert worked
    assert await embedded(library) == 8
    assert all(len(passages) == 8 for passages in store.renewed)
    await asyncio.sleep(0)
    assert len(store.renewed) == renewals


async def test_a_passage_that_is_set_aside_is_not_kept_any_more(
    store: RefusingStore, library: Library
) -> None:
    aside, *others = await store.claim(GUILD, 100, BRIEF)
    async with Claim(store, GUILD, [aside, *others], BRIEF) as claim:
        await claim.release([aside], 600.0)
        store.renewed.clear()
        store.renewed_twice.clear()

        await store.renewed_twice.wait()

    assert store.renewed
    assert all(aside.chunk_id not in passages for passages in store.renewed)


async def test_a_passage_that_is_refused_does_not_hold_its_neighbours_back(
    whole: Backlog, embedder: BusyEmbedder, store: RefusingStore, library: Library
) -> None:
    embedder.refused = ("number 3", "number 5")

    worked = await whole.embed_some(GUILD)

    assert worked
    assert await embedded(library) == 6
    assert await store.claim(GUILD, 100, 60.0) == []


async def test_where_every_passage_is_refused_the_guild_pauses(
    whole: Backlog, embedder: BusyEmbedder, store: RefusingStore
) -> None:
    embedder.refused = ("number",)

    with pytest.raises(ElderGuildError):
        await whole.embed_some(GUILD)

    assert await store.claim(GUILD, 100, 60.0) == []
    assert not await whole.embed_some(GUILD)


async def test_an_embedder_that_goes_away_meanwhile_has_refused_nothing_more(
    whole: Backlog, embedder: BusyEmbedder, store: RefusingStore, library: Library
) -> None:
    embedder.refused = ("number 2", "number 5")
    embedder.refusals = 2  # the claim, and one of its passages

    with pytest.raises(DependencyUnavailable):
        await whole.embed_some(GUILD)

    again = await store.claim(GUILD, 100, 60.0)
    assert len(again) == 8 - 1 - await embedded(library)


async def test_a_search_that_waits_for_vectors_has_them_made_at_once(
    embedder: BusyEmbedder, store: RefusingStore
) -> None:
    settings = IndexSettings(embed_poll_s=1e6, tail_hurry_s=1e-4, max_position_wait_s=5)
    library = Library(store, store.log, settings)
    await library.load()
    finder = Finder(store, library, embedder, settings)
    pool = LocalPool(RagSage(store, finder, settings).handlers())
    works = [Backlog(store, library, embedder, settings).run(), library.follow()]
    running = [asyncio.create_task(work) for work in works]
    await library.vectors_wanted(0.0)  # both have found nothing to do
    await pool.ask(store_document("# A page\n\nWhat to do."))

    await library.reach(GUILD, store.log.events[-1].position, dense=True, timeout_s=5)

    assert await library.waiting(GUILD) == 0
    for task in running:
        task.cancel()
    await library.close()


@given(
    waiting=st.dictionaries(GUILDS, st.integers(0, 100)),
    claim=st.integers(1, 20),
    most=st.integers(1, 5),
)
def test_no_guild_has_a_second_turn_before_every_guild_had_its_first(
    waiting: dict[GuildId, int], claim: int, most: int
) -> None:
    turns = dealt(waiting, claim=claim, most=most)

    first = [guild for guild, count in waiting.items() if count]
    assert turns[: len(first)] == first
    assert all(turns.count(guild) <= most for guild in waiting)
    assert all(
        turns.count(guild) * claim >= min(count, most * claim) for guild, count in waiting.items()
    )
