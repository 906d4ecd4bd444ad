"""What one search begins for all is not bound by the deadline of that search."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.rag.library import Library
from actors.rag.removals import Removals
from actors.rag.store import Loaded
from actors.runtime.message import GuildId
from actors.runtime.scope import enter, remaining_s
from actors.settings import IndexSettings
from actors.storage.frontier import Frontier
from actors.storage.log import Advance
from actors.storage.unread import Mention
from tests.fixtures.rag_builders import DISK, GUILD, store_document, task_created
from tests.fixtures.rag_contract import given_vector, put
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore

SETTINGS = IndexSettings(position_wait_s=0.0, chunk_max_words=20)
LONG_S = 99.0
OTHER = ModelIdentity("other-words", 64)


class TimedLog(MemoryLog):
    """Knows how much time it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given_s: list[float] = []

    async def ahead(self, guild_id: GuildId, frontier: Frontier, limit: int) -> Advance:
        self.given_s.append(remaining_s(LONG_S))
        return await super().ahead(guild_id, frontier, limit)

    async def mentions(
        self,
        frontier: Frontier,
        types: Collection[str],
        limit: int,
        closing: Collection[str] = (),
    ) -> list[Mention]:
        self.given_s.append(remaining_s(LONG_S))
        return await super().mentions(frontier, types, limit, closing)


class TimedStore(MemoryRagStore):
    """Knows how much time it was given for a page."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.given_s: list[float] = []

    async def page(
        self, guild_id: GuildId, after: str, limit: int, model: ModelIdentity | None = None
    ) -> list[Loaded]:
        self.given_s.append(remaining_s(LONG_S))
        return await super().page(guild_id, after, limit, model)


@asynccontextmanager
async def loaded(
    store: MemoryRagStore, log: MemoryLog, model: ModelIdentity = SHIPPED
) -> AsyncIterator[Library]:
    library = Library(store, log, SETTINGS, model)
    await library.load()
    yield library
    await library.close()


async def test_what_is_read_out_of_turn_has_its_own_time() -> None:
    log = TimedLog()
    log.append(GUILD, "task_1", 1, task_created())
    async with loaded(MemoryRagStore(MemoryLog()), log) as library:
        log.append(GUILD, "task_2", 1, task_created("task_2"))

        async with asyncio.timeout(5):
            enter(5.0)
            await library.reach(GUILD, log.events[-1].position)

    assert log.given_s == [LONG_S]


async def test_what_has_left_is_asked_for_in_its_own_time() -> None:
    log = TimedLog()
    async with loaded(MemoryRagStore(MemoryLog()), log) as library:
        enter(5.0)
        left = await Removals(library, 1.0).of(GUILD)

    assert left.known
    assert log.given_s == [LONG_S]


async def test_an_index_is_built_anew_in_its_own_time() -> None:
    log = MemoryLog()
    store = TimedStore(log)
    async with loaded(store, log, OTHER) as library:
        await put(store, store_document(DISK, vector=given_vector()))
        store.given_s.clear()

        enter(5.0)
        await library.check_model(GUILD)
        await library.settled()

        assert library.model(GUILD) == SHIPPED
    assert store.given_s
    assert set(store.given_s) == {LONG_S}
