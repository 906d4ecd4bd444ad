"""A change of an index that fails halfway: nothing is silently missing, and the rows mend it."""

from collections.abc import AsyncIterator

import pytest

from actors.errors import DependencyUnavailable
from actors.index.lexical import LexicalLeg
from actors.rag.mending import Mending
from actors.rag.messages import Search
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import DISK, GUILD, QUEUE, context, store_document
from tests.fixtures.rag_members import MemberOfMany, MemoryPeers
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder

SETTINGS = IndexSettings(chunk_max_words=20, position_wait_s=0.01)


class Panic(BaseException):
    """What an extension in Rust raises where it cannot go on."""


@pytest.fixture
async def member() -> AsyncIterator[MemberOfMany]:
    """It has one document."""
    log = MemoryLog()
    made = MemberOfMany(
        "rag/1/0", MemoryPeers(), MemoryRagStore(log), log, WordEmbedder(), SETTINGS
    )
    await made.join()
    await made.pool.ask(store_document(DISK))
    await made.catch_up()
    yield made
    await made.library.close()


async def found(member: MemberOfMany, text: str) -> set[str | None]:
    answer = await member.pool.ask(Search(context=context(), text=text))
    return {hit.external_id for hit in answer.hits}


async def lose_the_index(
    member: MemberOfMany, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """The change that brings a second document fails."""

    def fails(_: LexicalLeg) -> None:
        raise error

    await member.pool.ask(store_document(QUEUE, external_id="ops/Queue"))
    with monkeypatch.context() as patched:
        patched.setattr(LexicalLeg, "commit", fails)
        await member.catch_up()


@pytest.mark.parametrize("error", [ValueError("no space"), Panic("poisoned")])
async def test_an_index_whose_change_failed_is_not_asked_and_is_filled_anew(
    member: MemberOfMany, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    await lose_the_index(member, monkeypatch, error)

    with pytest.raises(DependencyUnavailable):
        await found(member, "disk")
    await Mending(member.library, SETTINGS).mend()

    assert await found(member, "disk volume") == {"ops/DiskFull"}
    assert await found(member, "consumer of the queue") == {"ops/Queue"}
    assert await member.library.verify(GUILD)


async def test_what_could_not_be_filled_anew_is_tried_again(
    member: MemberOfMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose_the_index(member, monkeypatch, ValueError("no space"))
    mending = Mending(member.library, SETTINGS)

    with monkeypatch.context() as patched:
        patched.setattr(LexicalLeg, "commit", lambda _: 1 / 0)
        with pytest.raises(DependencyUnavailable):
            await mending.mend()
    with pytest.raises(DependencyUnavailable):
        await found(member, "disk")
    await mending.mend()

    assert await found(member, "consumer of the queue") == {"ops/Queue"}


async def test_the_tail_goes_on_while_an_index_is_lost(
    member: MemberOfMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose_the_index(member, monkeypatch, ValueError("no space"))
    before = member.library.position

    stored = await member.pool.ask_outcome(store_document(DISK, external_id="ops/Other"))
    await member.catch_up()

    assert stored.position is not None
    assert before is not None
    assert member.library.position is not None
    assert member.library.position > before
