"""Who runs a search: the event loop where nothing is in its way, else the thread of the changes."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from actors.embedding.identity import SHIPPED
from actors.index.guild import GuildIndex
from actors.index.passage import Passage, Source
from actors.rag.indexes import Indexes
from actors.rag.models import Models
from actors.rag.placement import ShardKey
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import GUILD

KEY = ShardKey(GUILD)
HERE = threading.get_ident


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
def indexes() -> Iterator[Indexes]:
    made = Indexes(IndexSettings(search_at_once_passages=1), Models(SHIPPED))
    yield made
    asyncio.run(made.close())


def thread_of(_: GuildIndex) -> int:
    return HERE()


async def test_a_search_that_nothing_stands_before_takes_place_at_once(indexes: Indexes) -> None:
    assert await indexes.ask(KEY, thread_of) == HERE()


async def test_what_reads_all_of_an_index_leaves_the_event_loop_alone(indexes: Indexes) -> None:
    assert await indexes.examine(KEY, thread_of) != HERE()


async def test_so_does_the_search_of_a_large_one(indexes: Indexes) -> None:
    passage = Passage(chunk_id="c", position=0, heading="", text="disk", char_start=0, char_end=4)
    await indexes.put(
        KEY,
        [
            (Source(source_id=name, type="document", version=1, title=name), [passage])
            for name in ("doc_1", "doc_2")
        ],
    )

    assert await indexes.ask(KEY, thread_of) != HERE()


async def test_a_search_waits_for_the_change_before_it(indexes: Indexes) -> None:
    held = Held()
    change = asyncio.create_task(indexes.run(held))
    await held.begun.wait()
    search = asyncio.create_task(indexes.ask(KEY, thread_of))
    await asyncio.wait([search], timeout=0)

    waited = not search.done()
    held.let_go()
    await change

    assert waited
    assert await search != HERE()
    assert await indexes.ask(KEY, thread_of) == HERE()


async def test_a_change_that_nobody_waits_for_any_more_still_stands_before(
    indexes: Indexes,
) -> None:
    held = Held()
    change = asyncio.create_task(indexes.run(held))
    await held.begun.wait()
    change.cancel()
    await asyncio.wait([change])
    search = asyncio.create_task(indexes.ask(KEY, thread_of))
    await asyncio.wait([search], timeout=0)

    waited = not search.done()
    held.let_go()

    assert waited
    assert await search != HERE()
