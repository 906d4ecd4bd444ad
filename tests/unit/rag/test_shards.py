"""Three members hold four shards twice: nothing is lost, and nothing is silently missing."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
import structlog.testing

from actors import metrics
from actors.errors import DependencyUnavailable, StaleIndex, ValidationError
from actors.rag import indexes as indexes_module
from actors.rag.messages import (
    Ask,
    DeleteDocument,
    Filters,
    FindEvidence,
    GetIndexStatus,
    GetShardStatus,
    IndexStatus,
    Search,
    SearchHits,
    SearchMode,
)
from actors.rag.shards import Shards
from actors.runtime.message import Position
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import DISK, GUILD, OTHER_GUILD, context, number, store_document
from tests.fixtures.rag_members import MemberOfMany, MemoryPeers
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder

NAMES = ("rag/1/0", "rag/1/1", "rag/1/2")
WORDS = ["disk", "queue", "volume", "log", "consumer", "rotate", "restart", "order", "node", "pod"]
WORDS += [
    "grow",
    "files",
    "message",
    "broker",
    "latency",
    "cache",
    "memory",
    "cpu",
    "tenth",
    "week",
]


def settings(**changed: Any) -> IndexSettings:
    fields = {"chunk_max_words": 20, "position_wait_s": 0.01, "gather_timeout_s": 5.0} | changed
    return IndexSettings(**fields)


class World:
    """The members of two pools over the same rows: many with shards, and one with everything."""

    def __init__(self, shards: int = 4, replicas: int = 2, **changed: Any) -> None:
        self.settings = settings(shards=shards, replicas=replicas, **changed)
        self.log = MemoryLog()
        self.store = MemoryRagStore(self.log)
        self.embedder = WordEmbedder()
        self.peers = MemoryPeers()
        self.members = [self.member(name) for name in NAMES]
        self.one = MemberOfMany(
            "all", MemoryPeers(), self.store, self.log, self.embedder, settings()
        )

    def member(self, name: str, members: tuple[str, ...] = NAMES) -> MemberOfMany:
        return MemberOfMany(
            name,
            self.peers,
            self.store,
            self.log,
            self.embedder,
            self.settings,
            members=members,
        )

    @property
    def everybody(self) -> list[MemberOfMany]:
        return [*self.members, self.one]

    async def start(self) -> None:
        for member in self.everybody:
            await member.join()

    async def settle(self) -> None:
        for member in self.everybody:
            await member.catch_up()
        await self.one.embed(GUILD)
        for member in self.everybody:
            await member.catch_up()

    async def fill(self, count: int = 60) -> list[str]:
        dice = random.Random(7)  # noqa: S311  # hides nothing
        ids = []
        for page in range(count):
            text = " ".join(dice.choices(WORDS, k=dice.randint(8, 40)))
            kind, tags = dice.choice(["runbook", "note"]), (dice.choice(["storage", "net"]),)
            content = f"# Page {page}\n\n{text} p{page}."
            stored = await self.one.pool.ask(
                store_document(content, external_id=f"page-{page}", kind=kind, tags=tags)
            )
            ids.append(stored.document_id)
        await self.settle()
        return ids

    async def search(self, text: str, at: int = 0, **fields: Any) -> SearchHits:
        return await self.members[at].pool.ask(search(text, **fields))


def search(text: str, **fields: Any) -> Search:
    return Search(context=context(), text=text, **fields)


def holders_of(world: World, shard: int) -> list[MemberOfMany]:
    return [one for one in world.members if one.library.holds(GUILD, shard)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.start()
    yield made
    for member in made.everybody:
        await member.library.close()


async def test_each_member_holds_its_part_and_every_shard_is_held_twice(world: World) -> None:
    await world.fill()

    held = [len(holders_of(world, shard)) for shard in range(4)]

    assert held == [2, 2, 2, 2]
    assert all(0 < len(one.holding.held(GUILD)) < 4 for one in world.members)
    assert [await one.library.verify(GUILD) for one in world.members] == [True, True, True]


@pytest.mark.parametrize("mode", list(SearchMode))
async def test_shards_answer_what_one_index_answers(world: World, mode: SearchMode) -> None:
    await world.fill()
    dice = random.Random(11)  # noqa: S311  # hides nothing
    choices = [
        Filters(),
        Filters(kinds=frozenset({"runbook"})),
        Filters(tags=frozenset({"net"}), kinds=frozenset({"note"})),
    ]

    for _ in range(40):
        query = search(
            " ".join(dice.choices(WORDS, k=dice.randint(1, 6))),
            mode=mode,
            filters=dice.choice(choices),
            top_k=dice.choice([1, 5, 10, 100]),
        )
        whole = await world.one.pool.ask(query)
        parts = await dice.choice(world.members).pool.ask(query)

        assert not parts.partial
        assert len(parts.hits) == len(whole.hits)
        assert parts.position == whole.position
        if mode in {SearchMode.DENSE, SearchMode.EXACT}:
            assert [hit.score for hit in parts.hits] == [hit.score for hit in whole.hits]
            assert distinct(parts) == distinct(whole)
        elif query.top_k == 100:  # rarity differs a little from shard to shard
            assert {hit.chunk_id for hit in parts.hits} == {hit.chunk_id for hit in whole.hits}


def distinct(found: SearchHits) -> list[tuple[str, Any]]:
    """The hits whose score no other one has: among equals any order is right."""
    scores = [hit.score for hit in found.hits]
    return [
        (hit.chunk_id, hit.legs["dense"].score)
        for hit in found.hits[:-1]  # the last may share its score with the first that is cut off
        if scores.count(hit.score) == 1
    ]


async def test_one_dead_member_costs_nothing(world: World) -> None:
    await world.fill()
    before = await world.search("rotate log files", top_k=100)

    world.peers.dead.add(NAMES[1])
    after = await world.search("rotate log files", top_k=100)

    assert not after.partial
    assert after.hits == before.hits


async def test_a_member_that_says_nothing_is_given_half_the_time() -> None:
    world = World(gather_timeout_s=4.0)
    await world.start()
    await world.fill()

    world.peers.silent.add(NAMES[1])
    found = await world.search("rotate log files", top_k=100)

    assert not found.partial
    for member in world.everybody:
        await member.library.close()


async def test_a_shard_without_a_holder_makes_the_answer_partial_and_says_so(
    world: World,
) -> None:
    await world.fill()
    asked, *others = world.members
    mine = asked.holding.held(GUILD)
    counted = metrics.REGISTRY.get_sample_value("elders_guild_index_partial_answers_total") or 0

    world.peers.dead |= {one.name for one in others}
    found = await world.search("rotate log files", top_k=100)
    answer = await asked.pool.ask(Ask(context=context(), question="rotate log files"))
    status = await asked.pool.ask(GetIndexStatus(context=context()))
    evidence = await asked.pool.ask(
        FindEvidence(context=context(), incident_id="inc_1", title="rotate log files")
    )

    missing = 4 - len(mine)
    assert missing > 0
    replies = (found, answer, status, evidence)
    assert [(one.partial, one.missing_shards) for one in replies] == [(True, missing)] * 4
    assert {asked.holding.shard_of(hit.id) for hit in found.hits} <= mine
    now = metrics.REGISTRY.get_sample_value("elders_guild_index_partial_answers_total") or 0
    assert now >= counted + 3


async def test_no_shard_at_all_is_no_answer() -> None:
    world = World()
    stranger = world.member("rag/1/20")
    await stranger.library.load()

    stranger.holding.held(GUILD).clear()

    with pytest.raises(DependencyUnavailable):
        await stranger.pool.ask(search("disk"))

    await stranger.library.close()


async def test_who_joins_takes_its_part_and_who_held_it_lets_go(world: World) -> None:
    await world.fill()
    whole = await world.search("rotate log files", top_k=100)
    newcomer = world.member("rag/1/3", (*NAMES, "rag/1/3"))
    await newcomer.join()
    world.members.append(newcomer)

    for member in world.members:
        assert not await member.balancing.balance()
        found = await world.search("rotate log files", top_k=100)
        assert (found.partial, found.hits) == (False, whole.hits)

    assert newcomer.holding.held(GUILD)
    assert [len(holders_of(world, shard)) for shard in range(4)] == [2, 2, 2, 2]
    assert [await one.library.verify(GUILD) for one in world.members] == [True] * 4


async def test_when_a_member_leaves_the_others_fill_its_shards(world: World) -> None:
    await world.fill()
    whole = await world.search("rotate log files", top_k=100)
    gone = world.members.pop()
    gone.leave()

    during = await world.search("rotate log files", top_k=100)
    for member in world.members:
        assert not await member.balancing.balance()
    after = await world.search("rotate log files", top_k=100)

    assert [len(holders_of(world, shard)) for shard in range(4)] == [2, 2, 2, 2]
    assert during.hits == after.hits == whole.hits
    assert [await one.library.verify(GUILD) for one in world.members] == [True, True]
    await gone.library.close()


async def test_a_shard_is_not_let_go_before_its_new_holders_have_it(world: World) -> None:
    await world.fill()
    newcomer = world.member("rag/1/3", NAMES)  # it is counted before it has anything
    newcomer.holding.held(GUILD).clear()
    await newcomer.join()
    newcomer.holding.held(GUILD).clear()

    left = [await member.balancing.balance() for member in world.members]
    found = await world.search("rotate log files", top_k=100)
    filled = await newcomer.balancing.balance()
    done = [await member.balancing.balance() for member in world.members]

    assert any(left)
    assert not found.partial
    assert not filled
    assert not any(done)
    await newcomer.library.close()


async def test_a_member_that_nobody_counts_on_moves_nothing(world: World) -> None:
    await world.fill()
    held = set(world.members[0].holding.held(GUILD))

    world.members[0].leave()
    left = await world.members[0].balancing.balance()

    assert left
    assert world.members[0].holding.held(GUILD) == held


async def test_a_deletion_is_gone_at_once_from_the_shards_of_others(world: World) -> None:
    ids = await world.fill(30)

    for document_id in ids[:8]:
        await world.one.pool.ask(
            DeleteDocument(context=context(), command_id=f"cmd_{number()}", document_id=document_id)
        )
    words = " ".join(WORDS)
    found = [await world.search(words, at, top_k=100, mode=SearchMode.LEXICAL) for at in range(3)]

    assert [{hit.id for hit in one.hits} for one in found] == [set(ids[8:])] * 3


async def test_every_shard_reaches_the_position_or_none_is_shown(world: World) -> None:
    await world.fill(4)
    stored = await world.one.pool.ask_outcome(store_document(DISK, external_id="late"))
    assert stored.position is not None

    found = await world.search("rotated log files", min_position=stored.position, top_k=100)
    with pytest.raises(StaleIndex):
        await world.search("disk", min_position=Position(9, 1))

    assert stored.unwrap().document_id in {hit.id for hit in found.hits}


async def test_a_refused_question_leaves_no_shard_at_work(world: World) -> None:
    world.peers.silent = set(NAMES[1:])
    shards = Shards(world.members[0].library, world.peers, world.settings)
    before = asyncio.all_tasks()

    async def refuse(_: int) -> IndexStatus:
        raise ValidationError("text", "is blank")

    with pytest.raises(ValidationError):
        await shards.gather(
            GUILD,
            refuse,
            lambda shard: GetShardStatus(context=context(), shard=shard, shards=shards.count),
        )

    assert asyncio.all_tasks() == before


async def test_what_no_shard_can_ask_of_the_log_is_said_in_every_answer(world: World) -> None:
    await world.fill(12)
    world.log.away = True
    pool = world.members[0].pool

    answer = await pool.ask(Ask(context=context(), question="Rotate the log files?"))
    evidence = await pool.ask(
        FindEvidence(context=context(), incident_id="inc_1", title="rotate log files")
    )

    assert (answer.stale, evidence.stale) == (True, True)


async def test_the_least_position_of_the_shards_is_the_answers(world: World) -> None:
    await world.fill()
    await world.one.pool.ask(store_document(DISK, external_id="late"))
    await world.members[0].catch_up()

    found = await world.search("disk")

    assert world.members[0].library.position == await world.log.end()
    assert found.position is not None
    assert found.position < await world.log.end()


async def test_answers_and_dossiers_come_from_all_shards(world: World) -> None:
    await world.fill(12)
    stored = await world.one.pool.ask(store_document(DISK))
    await world.settle()

    for member in world.members:
        answer = await member.pool.ask(
            Ask(context=context(), question="remove rotated log files older than a week")
        )
        evidence = await member.pool.ask(
            FindEvidence(
                context=context(), incident_id="inc_1", title="disk", alert_names=("DiskFull",)
            )
        )

        assert stored.document_id in {cited.source_id for cited in answer.citations}
        assert evidence.runbook is not None
        assert evidence.runbook.source_id == stored.document_id
        assert (answer.partial, evidence.partial) == (False, False)


async def test_the_status_adds_the_shards_up(world: World) -> None:
    await world.fill()

    status = [await one.pool.ask(GetIndexStatus(context=context())) for one in world.members]

    assert {(one.state, one.shards, one.sources, one.partial) for one in status} == {
        ("ready", 4, 60, False)
    }


async def test_no_passage_is_embedded_twice(world: World) -> None:
    for page in range(20):
        await world.one.pool.ask(
            store_document(f"# Page {page}\n\nNumber {page}.", external_id=f"page-{page}")
        )
    for member in world.members:
        await member.catch_up()

    for member in world.members:
        await member.embed(GUILD)

    texts = [text for asked in world.embedder.asked for text in asked]
    assert len(texts) == len(set(texts)) == 20


async def test_a_guild_that_is_new_is_held_by_its_holders_from_the_beginning(world: World) -> None:
    found = await world.members[0].pool.ask(
        Search(context=context(OTHER_GUILD), text="disk", mode=SearchMode.LEXICAL)
    )

    assert (found.hits, found.partial) == ((), False)


async def test_one_shard_on_every_member_needs_no_message() -> None:
    world = World(shards=1, replicas=0)
    await world.start()
    await world.fill(4)

    await world.search("disk")
    await world.members[0].pool.ask(GetIndexStatus(context=context()))

    assert world.peers.asked == []
    for member in world.everybody:
        await member.library.close()


async def test_shards_that_are_all_here_need_no_message() -> None:
    world = World(shards=4, replicas=0)
    await world.start()
    await world.fill(12)

    found = await world.search("rotate log files", top_k=100)

    assert found.hits
    assert world.peers.asked == []
    for member in world.everybody:
        await member.library.close()


async def test_a_shard_that_is_too_large_is_shown_and_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A test before this one may have set the process's log up, and its level with it.
    every_level = structlog.make_filtering_bound_logger(logging.NOTSET)
    log = structlog.wrap_logger(None, wrapper_class=every_level)
    monkeypatch.setattr(indexes_module, "_log", log)
    world = World(shards=2, replicas=0, max_shard_vectors=10)
    await world.start()

    with structlog.testing.capture_logs() as lines:
        await world.fill(60)
    largest = metrics.REGISTRY.get_sample_value("elders_guild_index_largest_shard_passages")

    said = [line["event"] for line in lines]
    assert largest is not None
    assert largest > 10
    assert "shard_too_large" in said
    assert said.count("shard_too_large") <= 2 * 3  # each shard of each member
    for member in world.everybody:
        await member.library.close()


async def test_shards_move_by_themselves_once_the_members_have_settled() -> None:
    world = World(rebalance_after_s=0, rebalance_poll_s=0.001)
    await world.start()
    await world.fill(20)
    gone = world.members.pop()
    running = [asyncio.create_task(one.balancing.run()) for one in world.members]

    gone.leave()
    async with asyncio.timeout(10):
        while any(len(holders_of(world, shard)) < 2 for shard in range(4)):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0)

    for task in running:
        task.cancel()
    await asyncio.wait(running)
    assert [await one.library.verify(GUILD) for one in world.members] == [True, True]
    for member in (*world.everybody, gone):
        await member.library.close()


async def test_who_holds_nothing_asks_the_one_holder_once() -> None:
    world = World(shards=1, replicas=1)
    await world.start()
    ids = await world.fill(6)
    (holder,) = holders_of(world, 0)
    others = [at for at, one in enumerate(world.members) if one is not holder]

    found = [await world.search("page", at, top_k=100) for at in others]

    assert [{hit.id for hit in one.hits} for one in found] == [set(ids)] * 2
    assert world.peers.asked == [(holder.name, "SearchShard")] * 2
    for member in world.everybody:
        await member.library.close()


async def test_a_shard_that_is_filled_without_all_its_vectors_does_not_say_that_it_has_them(
    world: World,
) -> None:
    for page in range(20):
        stored = await world.one.pool.ask_outcome(
            store_document(f"# Page {page}\n\nNumber {page}.", external_id=f"page-{page}")
        )
    for member in world.members:
        await member.catch_up()
    world.members.pop().leave()
    for member in world.members:
        await member.balancing.balance()

    with pytest.raises(StaleIndex):
        await world.search("number", min_position=stored.position, dense_too=True)
    await world.settle()
    found = await world.search("number", min_position=stored.position, dense_too=True, top_k=100)

    assert (len(found.hits), found.dense_pending) == (20, 0)
    assert found.dense_position == found.position
