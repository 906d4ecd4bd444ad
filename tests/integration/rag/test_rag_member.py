"""The actor classes without Ray: they open, answer, and close what they opened."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.embedding.actor import EmbeddingMember
from actors.embedding.messages import Embed
from actors.rag.actor import RagMember
from actors.rag.library import Library
from actors.rag.messages import FindEvidence, GetIndexStatus, Search, SearchMode
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.settings import GuildSettings, IndexSettings
from tests.fixtures.rag_builders import DISK, GUILD, QUEUE, context, store_document
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import run_as_owner

pytestmark = pytest.mark.integration


class LocalPools:
    """Where a member finds the other pools; here they are in this process."""

    def __init__(self) -> None:
        self.known: dict[str, LocalPool] = {}

    def pool(self, name: str) -> LocalPool:
        return self.known[name]


class Silent:
    """A nudger that nobody hears."""

    def nudge(self) -> None:
        return None


def host_of(prepared: PreparedDatabase, pools: LocalPools) -> Host:
    settings = GuildSettings(
        database_url=prepared.app_url,
        log_database_url=prepared.log_url,
        index=IndexSettings(embed_poll_s=0.05, tail_poll_s=0.05, position_wait_s=5.0),
    )
    return Host(settings, pools, Silent())  # type: ignore[arg-type]


def identity(pool: str) -> MemberIdentity:
    return MemberIdentity(pool=pool, generation=1, number=0)


@pytest.fixture
async def rag(fresh_database: PreparedDatabase) -> AsyncIterator[LocalPool]:
    await run_as_owner(fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", GUILD)
    pools = LocalPools()
    embedding_host = host_of(fresh_database, pools)
    pools.known["embedding"] = LocalPool(
        await EmbeddingMember(identity("embedding")).open(embedding_host)
    )
    rag_host = host_of(fresh_database, pools)
    pool = LocalPool(await RagMember(identity("rag")).open(rag_host), rag_host.ledger)
    yield pool
    await rag_host.close()
    await embedding_host.close()


async def test_words_first_then_meaning_with_the_real_model(rag: LocalPool) -> None:
    disk = await rag.ask_outcome(store_document(DISK))
    queue = await rag.ask_outcome(store_document(QUEUE, external_id="ops/Queue"))
    query = Search(
        context=context(),
        text="storage runs out of free bytes",
        mode=SearchMode.DENSE,
        min_position=queue.position,
    )

    await rag.ask(Search(context=context(), text="disk", min_position=queue.position))
    while (await rag.ask(GetIndexStatus(context=context()))).dense_pending:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    hits = await rag.ask(query, timeout_s=10)

    assert hits.hits[0].id == disk.unwrap().document_id


async def test_a_repeat_answers_the_first_reply(rag: LocalPool) -> None:
    command = store_document(DISK)

    first = await rag.ask_outcome(command)
    again = await rag.ask_outcome(command)

    assert again.unwrap() == first.unwrap()
    assert again.position == first.position


async def test_the_dossier_finds_the_runbook_by_the_alerts_name(rag: LocalPool) -> None:
    stored = await rag.ask_outcome(store_document(DISK))

    found = await rag.ask(
        FindEvidence(
            context=context(),
            incident_id="inc_1",
            title="disk",
            alert_names=("DiskFull",),
            min_position=stored.position,
        )
    )

    assert found.runbook is not None
    assert found.runbook.source_id == stored.unwrap().document_id


async def test_the_embedder_answers_through_its_member(fresh_database: PreparedDatabase) -> None:
    host = host_of(fresh_database, LocalPools())
    pool = LocalPool(await EmbeddingMember(identity("embedding")).open(host))

    made = await pool.ask(Embed(context=context(), texts=("disk", "queue")))

    await host.close()
    assert made.vectors.shape == (2, 384)


async def test_a_member_whose_tail_has_died_is_not_well(
    fresh_database: PreparedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """What an extension in Rust raises where it cannot go on."""

    async def dies(_: Library) -> bool:
        raise Panic

    pools = LocalPools()
    pools.known["embedding"] = LocalPool({})
    host, member = host_of(fresh_database, pools), RagMember(identity("rag"))

    monkeypatch.setattr(Library, "catch_up", dies)
    await member.open(host)
    await asyncio.sleep(0)
    await host.close()

    with pytest.raises(RuntimeError, match="tail"):
        await member.health()
