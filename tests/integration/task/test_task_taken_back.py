"""A runbook's tasks and their taking back, at the same moment, on PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from actors.events import DeliverEvent
from actors.runtime.local import LocalPool
from actors.settings import TaskSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.task.messages import ListTasks, TaskStatus
from actors.task.postgres import PostgresTaskStore
from actors.task.sage import TaskSage
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened
from tests.fixtures.task_builders import GUILD, context, delivery, dossier, resolved

pytestmark = pytest.mark.integration

ROUNDS = 40


@pytest.fixture
async def members(fresh_database: PreparedDatabase) -> AsyncIterator[tuple[LocalPool, LocalPool]]:
    """Two of them, so that nothing but the database keeps their work apart."""
    owner = await asyncpg.connect(fresh_database.owner_url)
    await owner.execute("INSERT INTO guilds (guild_id, name) VALUES ($1, 'one')", GUILD)
    await owner.close()
    async with opened(fresh_database.app_url) as one, opened(fresh_database.app_url) as two:
        yield _member(one), _member(two)


def _member(database: Database) -> LocalPool:
    return LocalPool(
        TaskSage(PostgresTaskStore(database), TaskSettings()).handlers(), Inbox(database)
    )


def taking_back(made: DeliverEvent) -> DeliverEvent:
    undo = delivery(resolved(), "task.runbook.undo")
    return replace(undo, command_id=f"task.runbook.undo/{made.event.event_id}")


async def test_whoever_comes_first_no_task_is_left_that_nobody_will_do(
    members: tuple[LocalPool, LocalPool],
) -> None:
    maker, taker = members
    dice = random.Random(20)  # noqa: S311  # who comes first, but for the first two rounds
    for number in range(ROUNDS):
        made = delivery(dossier("look", "restart", runbook=f"doc_{number}"), "task.runbook")
        match number:
            case 0:
                await maker.ask(made)
                await taker.ask(taking_back(made))
            case 1:
                await taker.ask(taking_back(made))
            case _:
                begun = asyncio.create_task(maker.ask(made))
                await asyncio.sleep(dice.uniform(0, 0.02))
                await taker.ask(taking_back(made))
                await begun
        await maker.ask(made)

        page = await taker.ask(
            ListTasks(context=context(), statuses=frozenset({TaskStatus.PENDING}))
        )
        assert page.tasks == ()
    tasks = len((await taker.ask(ListTasks(context=context(), limit=100))).tasks)

    assert 0 < tasks < 2 * ROUNDS  # the one was first at least once, and the other, too
