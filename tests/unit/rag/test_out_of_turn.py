"""What many searchers wait for is read out of turn once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.errors import DependencyUnavailable, StaleIndex
from actors.events import CustomEvent, TaskDeleted
from actors.rag.library import Library
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import GUILD, OTHER_GUILD, task_created
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore

SETTINGS = IndexSettings(position_wait_s=0.0, tail_batch=5)


class World:
    """A library whose tail does not move unless the test says so."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.library = Library(MemoryRagStore(self.log), self.log, SETTINGS)

    def noise(self, count: int, guild_id: GuildId = OTHER_GUILD) -> None:
        for number in range(count):
            self.log.append(guild_id, f"note_{number}", 1, CustomEvent(name="n", data="{}"))

    def task(self, task_id: str) -> Position:
        self.log.append(GUILD, task_id, 1, task_created(task_id))
        return self.log.events[-1].position

    def deletion(self, task_id: str) -> Position:
        self.log.append(GUILD, task_id, 2, TaskDeleted(task_id=task_id))
        return self.log.events[-1].position

    async def held(self) -> list[str]:
        return await self.library.ask(GUILD, lambda index: sorted(index.source_ids()))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.library.load()
    yield made
    await made.library.close()


async def test_a_hundred_searchers_of_one_unread_tail_read_it_once(world: World) -> None:
    world.noise(12)
    positions = [world.task(f"task_{number}") for number in range(3)]

    await asyncio.gather(
        *(world.library.reach(GUILD, position) for position in positions for _ in range(33))
    )
    await world.library.reach(GUILD, positions[0])

    assert world.log.read_ahead == 1
    assert await world.held() == ["task_0", "task_1", "task_2"]


async def test_what_is_written_while_a_guild_is_being_read_is_read_after_it(world: World) -> None:
    first = world.task("task_1")
    reading = asyncio.create_task(world.library.reach(GUILD, first))
    await world.log.asked_ahead.wait()
    second = world.task("task_2")

    await asyncio.gather(reading, world.library.reach(GUILD, second))

    assert await world.held() == ["task_1", "task_2"]


async def test_too_much_is_stale_and_the_next_searcher_goes_on_from_there(world: World) -> None:
    world.noise(SETTINGS.tail_batch, GUILD)
    position = world.task("task_1")

    with pytest.raises(StaleIndex):
        await world.library.reach(GUILD, position)
    await world.library.reach(GUILD, position)

    assert await world.held() == ["task_1"]


async def test_a_searcher_that_leaves_does_not_end_what_others_wait_for(world: World) -> None:
    position = world.task("task_1")
    leaving, staying = (asyncio.create_task(world.library.reach(GUILD, position)) for _ in "ab")
    await world.log.asked_ahead.wait()

    leaving.cancel()
    await staying

    assert world.log.read_ahead == 1
    assert await world.held() == ["task_1"]


async def test_the_tail_goes_its_own_way_and_what_it_has_passed_is_read_anew(world: World) -> None:
    world.task("task_1")
    early = world.deletion("task_1")
    await world.library.reach(GUILD, early)
    while await world.library.catch_up():
        pass
    late = world.task("task_2")

    await world.library.reach(GUILD, late)

    assert await world.held() == ["task_2"]
    assert await world.library.removed() == {}


async def test_a_removal_that_was_read_out_of_turn_is_no_longer_asked_for(world: World) -> None:
    world.task("task_1")
    position = world.deletion("task_1")
    before = await world.library.removed()

    await world.library.reach(GUILD, position)

    assert before == {GUILD: frozenset({"task_1"})}
    assert await world.library.removed() == {}


async def test_a_log_that_cannot_be_asked_is_said_to_everybody(world: World) -> None:
    position = world.task("task_1")
    world.log.away = True

    outcomes = await asyncio.gather(
        *(world.library.reach(GUILD, position) for _ in range(5)), return_exceptions=True
    )
    world.log.away = False
    await world.library.reach(GUILD, position)

    assert all(isinstance(one, DependencyUnavailable) for one in outcomes)
    assert await world.held() == ["task_1"]
