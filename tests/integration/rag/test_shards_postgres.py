"""Two members hold one shard each way of the same database: fresh, complete, or said not to be."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.embedding.identity import SHIPPED
from actors.embedding.messages import Vectors
from actors.errors import StaleIndex
from actors.rag.actor import RagMember
from actors.rag.messages import (
    DeleteDocument,
    GetIndexStatus,
    Search,
    SearchHits,
    SearchMode,
    StoreDocument,
)
from actors.rag.postgres import PostgresRagStore
from actors.rag.reembedding.postgres import PostgresNextStore
from actors.rag.reembedding.work import Bounds, Reembedding
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.settings import GuildSettings, IndexSettings
from actors.storage.inbox import Inbox
from actors.storage.log import LogReader
from tests.fixtures.rag_builders import GUILD, context, number, store_document
from tests.fixtures.rag_members import MemberOfMany, MemoryPeers
from tests.fixtures.rag_memory import WordEmbedder, word_vector
from tests.fixtures.reembedding_contract import TARGET
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration

SETTINGS = IndexSettings(
    shards=4,
    replicas=1,
    tail_poll_s=0.05,
    embed_poll_s=0.02,
    position_wait_s=0.2,
    ahead_timeout_s=20.0,
    removals_timeout_s=20.0,
    gather_timeout_s=20.0,
)
NAMES = ("rag/1/0", "rag/1/1")


class Pool:
    """Two members, each with its part."""

    def __init__(
        self, members: list[MemberOfMany], peers: MemoryPeers, following: PostgresNextStore
    ) -> None:
        self.members = members
        self.peers = peers
        self.following = following

    async def store(self, command: StoreDocument, at: int = 0) -> tuple[str, Position]:
        outcome = await self.members[at].pool.ask_outcome(command)
        assert outcome.position is not None
        return outcome.unwrap().document_id, outcome.position

    async def search(self, text: str, at: int = 0, **fields: Any) -> SearchHits:
        query = Search(
            context=context(), text=text, **{"mode": SearchMode.LEXICAL, "top_k": 100, **fields}
        )
        return await self.members[at].pool.ask(query)

    async def fill(self, count: int) -> tuple[list[str], Position]:
        stored = [
            await self.store(store_document(page(one), external_id=f"page-{one}"), one % 2)
            for one in range(count)
        ]
        return [document_id for document_id, _ in stored], stored[-1][1]

    async def embed(self) -> None:
        for member in self.members:
            await member.catch_up()
        for member in self.members:
            await member.embed(GUILD)
        for member in self.members:
            await member.catch_up()

    async def move(self) -> bool:
        """Moves the guild to the other model; no member has read of it."""

        async def embed(texts: Sequence[str]) -> Vectors:
            return np.stack([word_vector(text, TARGET.dimension) for text in texts])

        bounds = Bounds(batch=4, batches=2, rounds=3, cleared=10)
        work = Reembedding(self.following, TARGET, embed, bounds)
        moved = await work.look(GUILD)
        await work.move(GUILD, moved)
        return moved.switched


def page(one: int) -> str:
    return f"# Page {one}\n\nWhat to do about the disk of number n{one}."


@pytest.fixture
async def pool(fresh_database: PreparedDatabase) -> AsyncIterator[Pool]:
    await run_as_owner(fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", GUILD)
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as log:
        store, peers = PostgresRagStore(app, log), MemoryPeers()
        made = Pool([], peers, PostgresNextStore(app, log))
        for name in NAMES:
            member = MemberOfMany(
                name,
                peers,
                store,
                LogReader(log),
                WordEmbedder(SHIPPED, TARGET),
                SETTINGS,
                members=NAMES,
                ledger=Inbox(app),
            )
            await member.join()
            made.members.append(member)
        yield made
        for member in made.members:
            await member.library.close()


async def test_what_one_member_wrote_is_found_through_the_other_at_its_position(
    pool: Pool,
) -> None:
    ids, position = await pool.fill(12)

    found = [await pool.search("disk", at, min_position=position) for at in range(2)]

    assert [{hit.id for hit in one.hits} for one in found] == [set(ids)] * 2
    assert [one.partial for one in found] == [False, False]
    assert [sorted(one.holding.held(GUILD)) for one in pool.members] != [[0, 1, 2, 3]] * 2


async def test_a_position_that_nobody_has_reached_is_an_error_and_no_partial_answer(
    pool: Pool,
) -> None:
    _, position = await pool.fill(2)
    later = Position(position.xid + 1_000, 1, position.epoch)

    with pytest.raises(StaleIndex):
        await pool.search("disk", min_position=later, wait_s=0.05)


async def test_what_was_deleted_is_gone_from_the_shards_of_both(pool: Pool) -> None:
    ids, position = await pool.fill(12)
    await pool.search("disk", min_position=position)

    for document_id in ids[:6]:
        await pool.members[0].pool.ask(
            DeleteDocument(context=context(), command_id=f"cmd_{number()}", document_id=document_id)
        )
    found = await asyncio.gather(*(pool.search("disk", one % 2) for one in range(10)))

    assert [{hit.id for hit in one.hits} for one in found] == [set(ids[6:])] * 10


async def test_each_passage_is_embedded_once_and_its_shard_verified(pool: Pool) -> None:
    ids, position = await pool.fill(12)
    await pool.embed()

    found = await pool.search(
        "disk of number", mode=SearchMode.DENSE, min_position=position, dense_too=True
    )
    exact = await pool.search("disk of number", mode=SearchMode.EXACT)
    verified = [await one.library.verify(GUILD) for one in pool.members]

    assert {hit.id for hit in found.hits} == set(ids)
    assert [hit.score for hit in exact.hits] == pytest.approx(
        [hit.legs["dense"].score for hit in found.hits], abs=2e-3
    )
    assert verified == [True, True]


async def test_without_its_other_half_the_index_is_partial_until_it_is_filled(
    pool: Pool,
) -> None:
    ids, position = await pool.fill(12)
    await pool.search("disk", min_position=position)
    whole, lost = pool.members
    lost.leave()

    during = await pool.search("disk")
    left = await whole.balancing.balance()
    after = await pool.search("disk")

    assert during.partial
    assert during.missing_shards == len(lost.holding.held(GUILD))
    assert {hit.id for hit in during.hits} < set(ids)
    assert not left
    assert (after.partial, {hit.id for hit in after.hits}) == (False, set(ids))
    assert await whole.library.verify(GUILD)


async def test_shards_that_have_not_switched_yet_answer_by_their_words_and_say_so(
    pool: Pool,
) -> None:
    ids, _ = await pool.fill(12)
    await pool.embed()
    first, second = pool.members

    switched = await pool.move()
    await first.catch_up()
    await first.library.settled()
    during = await pool.search("disk of number", mode=SearchMode.HYBRID)
    await second.catch_up()
    await second.library.settled()
    after = [
        await pool.search("disk of number", at, mode=mode) for at in range(2) for mode in SearchMode
    ]

    assert switched
    old = second.holding.held(GUILD)
    by_meaning = {hit.id for hit in during.hits if "dense" in hit.legs}
    assert (during.partial, {hit.id for hit in during.hits}) == (False, set(ids))
    assert by_meaning == {one for one in ids if second.holding.shard_of(one) not in old}
    assert during.dense_pending > 0
    assert [{hit.id for hit in one.hits} for one in after] == [set(ids)] * len(after)
    assert {one.dense_pending for one in after} == {0}
    assert [await one.library.verify(GUILD) for one in pool.members] == [True, True]


class LocalPools:
    """Where the members of this process find each other."""

    def __init__(self, peers: MemoryPeers) -> None:
        self._peers = peers

    def pool(self, name: str) -> LocalPool:
        return LocalPool({})

    def peers(self, name: str) -> MemoryPeers:
        return self._peers


class Silent:
    def nudge(self) -> None:
        return None


async def test_a_real_member_loads_its_part_and_asks_its_peer_for_the_rest(
    pool: Pool, fresh_database: PreparedDatabase, tmp_path: Path
) -> None:
    ids, position = await pool.fill(12)
    await pool.search("disk", min_position=position)
    former = pool.members[0]
    settings = GuildSettings(
        database_url=fresh_database.app_url,
        log_database_url=fresh_database.log_url,
        index=SETTINGS.model_copy(update={"snapshot_dir": tmp_path / "index"}),
    )
    host = Host(settings, LocalPools(pool.peers), Silent())  # type: ignore[arg-type]  # both are fakes

    handlers = await RagMember(MemberIdentity("rag", 1, 0)).open(host)
    pool.peers.pools[former.name] = LocalPool(handlers, host.ledger)
    found = await pool.peers.pools[former.name].ask(
        Search(context=context(), text="disk", mode=SearchMode.LEXICAL, top_k=100)
    )
    status = await pool.peers.pools[former.name].ask(GetIndexStatus(context=context()))

    await host.close()
    assert (found.partial, {hit.id for hit in found.hits}) == (False, set(ids))
    assert (status.shards, status.sources, status.partial) == (4, 12, False)
    assert {one for _, one in pool.peers.asked} >= {"SearchShard", "GetShardStatus"}
