"""Who runs a search: the event loop where nothing is in its way, else the thread of the changes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from threading import get_ident as this_thread
from typing import Any

import numpy as np
import pytest

from actors.embedding.identity import SHIPPED
from actors.index.guild import GuildIndex
from actors.index.passage import Passage, Source
from actors.rag import evidence
from actors.rag.indexes import Indexes
from actors.rag.messages import FindEvidence
from actors.rag.models import Models
from actors.rag.placement import ShardKey
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import DISK, GUILD, context, store_document
from tests.fixtures.rag_members import MemberOfMany, MemoryPeers
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder

KEY = ShardKey(GUILD)


class Held:
    """Work that the thread of the changes does until it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._go = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        self._go.wait(60)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
async def indexes() -> AsyncIterator[Indexes]:
    made = Indexes(IndexSettings(search_at_once_passages=1), Models(SHIPPED))
    yield made
    await made.close()


@pytest.fixture
async def member() -> AsyncIterator[MemberOfMany]:
    """It has one document."""
    log = MemoryLog()
    made = MemberOfMany(
        "rag/1/0", MemoryPeers(), MemoryRagStore(log), log, WordEmbedder(), IndexSettings()
    )
    await made.join()
    await made.pool.ask(store_document(DISK))
    await made.catch_up()
    yield made
    await made.library.close()


def thread_of(_: GuildIndex) -> int:
    return this_thread()


def passage(**fields: Any) -> Passage:
    return Passage(
        chunk_id="c", position=0, heading="", text="disk", char_start=0, char_end=4, **fields
    )


def source(source_id: str) -> Source:
    return Source(source_id=source_id, type="document", version=1, title=source_id)


async def under_way(indexes: Indexes) -> tuple[Held, "asyncio.Task[None]"]:
    """A change that the thread has begun."""
    held = Held()
    change = asyncio.create_task(indexes.run(held))
    await held.begun.wait()
    return held, change


async def waits_for(held: Held, indexes: Indexes) -> bool:
    """Whether a search comes behind what is held, which is let go for it."""
    search = asyncio.create_task(indexes.ask(KEY, thread_of))
    await asyncio.wait([search], timeout=0)
    at_once = search.done()
    held.let_go()
    return await search != this_thread() and not at_once


async def test_a_search_that_nothing_stands_before_takes_place_at_once(indexes: Indexes) -> None:
    assert await indexes.ask(KEY, thread_of) == this_thread()


async def test_what_takes_longer_leaves_the_event_loop_alone(indexes: Indexes) -> None:
    assert await indexes.examine(KEY, thread_of) != this_thread()


async def test_so_does_the_search_of_many_passages(indexes: Indexes) -> None:
    await indexes.put(KEY, [(source("doc_1"), [passage()]), (source("doc_2"), [passage()])])

    assert await indexes.ask(KEY, thread_of) != this_thread()


async def test_so_does_the_search_of_a_few_that_many_have_left(indexes: Indexes) -> None:
    await indexes.put(KEY, [(source("doc_1"), [passage()]), (source("doc_2"), [passage()])])
    await indexes.put(KEY, (), ["doc_1", "doc_2"])

    assert await indexes.ask(KEY, thread_of) != this_thread()


async def test_so_does_the_search_of_many_vectors_without_codes() -> None:
    indexes = Indexes(IndexSettings(search_at_once_numbers=SHIPPED.dimension), Models(SHIPPED))
    east = np.eye(SHIPPED.dimension, dtype=np.float32)[0]

    await indexes.put(KEY, [(source("doc_1"), [passage(vector=east)])])
    one = await indexes.ask(KEY, thread_of)
    await indexes.put(KEY, [(source("doc_2"), [passage(vector=east)])])
    two = await indexes.ask(KEY, thread_of)
    await indexes.close()

    assert one == this_thread()
    assert two != this_thread()


async def test_a_search_waits_for_the_change_before_it(indexes: Indexes) -> None:
    held, change = await under_way(indexes)

    assert await waits_for(held, indexes)
    await change
    assert await indexes.ask(KEY, thread_of) == this_thread()


async def test_a_change_that_nobody_waits_for_any_more_still_stands_before(
    indexes: Indexes,
) -> None:
    held, change = await under_way(indexes)
    change.cancel()
    await asyncio.wait([change])

    assert await waits_for(held, indexes)
    assert await indexes.ask(KEY, thread_of) == this_thread()


async def test_a_change_that_was_given_up_before_it_began_stands_before_nothing(
    indexes: Indexes,
) -> None:
    held, first = await under_way(indexes)
    second = asyncio.create_task(indexes.run(lambda: None))
    await asyncio.sleep(0)
    second.cancel()
    held.let_go()
    await asyncio.wait([first, second])
    await indexes.run(lambda: None)  # behind both of them

    assert await indexes.ask(KEY, thread_of) == this_thread()


async def test_neither_does_one_that_failed(indexes: Indexes) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await indexes.run(fails)

    assert await indexes.ask(KEY, thread_of) == this_thread()


async def test_nothing_is_asked_after_the_end(indexes: Indexes) -> None:
    await indexes.close()

    with pytest.raises(RuntimeError):
        await indexes.ask(KEY, thread_of)


async def test_a_dossier_and_a_proof_are_not_made_on_the_event_loop(
    member: MemberOfMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def noting(work: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            threads.append(this_thread())
            return work(*given)

        return noted

    monkeypatch.setattr(evidence, "gather", noting(evidence.gather))
    monkeypatch.setattr(GuildIndex, "image", noting(GuildIndex.image))
    await member.pool.ask(FindEvidence(context=context(), incident_id="inc_1", title="disk"))
    await member.library.verify(GUILD)

    assert len(threads) == 2
    assert this_thread() not in threads
