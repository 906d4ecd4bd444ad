"""The Task sage's store on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.errors import Cycle, VersionConflict
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.settings import DatabaseSettings, TaskSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.log import of_correlation
from actors.task.actor import TaskMember
from actors.task.messages import (
    AddRelation,
    CompleteTask,
    CreateTask,
    GetTask,
    ListTasks,
    RelationKind,
    StartTask,
    Task,
    TaskStatus,
)
from actors.task.postgres import PostgresTaskStore
from actors.task.sage import TaskSage
from tests.fixtures.one_database import OneDatabase
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.task_builders import (
    GUILD,
    INCIDENT,
    OTHER_GUILD,
    add,
    context,
    create_task,
    delivery,
    dossier,
    new_task,
    number,
)
from tests.fixtures.task_contract import TaskStoreContract

pytestmark = pytest.mark.integration


@pytest.fixture
async def database(module_database: PreparedDatabase) -> AsyncIterator[Database]:
    owner = await asyncpg.connect(module_database.admin_url)
    await owner.execute(
        "INSERT INTO guilds (guild_id, name) VALUES ($1, 'one'), ($2, 'two')"
        " ON CONFLICT DO NOTHING",
        GUILD,
        OTHER_GUILD,
    )
    opened = await Database.open(module_database.app_url, DatabaseSettings(), connections=4)
    yield opened
    await opened.close()
    await owner.execute(
        "TRUNCATE tasks, task_incidents, task_relations, task_plans, events, inbox CASCADE"
    )
    await owner.close()


@pytest.fixture
def store(database: Database) -> PostgresTaskStore:
    return PostgresTaskStore(database)


@pytest.fixture
def pool(database: Database, store: PostgresTaskStore) -> LocalPool:
    return LocalPool(TaskSage(store, TaskSettings()).handlers(), Inbox(database))


async def create(pool: LocalPool, name: str) -> Task:
    command = CreateTask(
        context=context(), command_id=f"key-{number()}", name=name, assignee="user_lead"
    )
    return await pool.ask(command)


class TestPostgresTaskStore(TaskStoreContract):
    """The contract, with row-level security under it."""


async def test_row_security_hides_every_table_from_other_guilds(
    store: PostgresTaskStore, database: Database, pool: LocalPool
) -> None:
    await pool.ask(delivery(dossier("one", "two"), "task.runbook"))
    counting = "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM task_incidents)"
    counting += " + (SELECT count(*) FROM task_relations)"

    async with database.read(GUILD) as tx:
        ours = await tx.fetchval(counting)
    async with database.read(OTHER_GUILD) as tx:
        theirs = await tx.fetchval(counting)

    assert (ours, theirs) == (2 + 2 + 4, 0)


async def test_an_event_delivered_to_many_members_at_once_takes_effect_once(
    database: Database, store: PostgresTaskStore
) -> None:
    members = [
        LocalPool(TaskSage(store, TaskSettings()).handlers(), Inbox(database)) for _ in range(4)
    ]
    command = delivery(dossier("look", "delete", "restart"), "task.runbook")

    outcomes = await asyncio.gather(*(member.ask_outcome(command) for member in members))
    again = await members[0].ask_outcome(command)

    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    page = await members[0].ask(ListTasks(context=context(), incident_id=INCIDENT))
    log = await of_correlation(database, GUILD, "cor_incident", 100)
    assert len(errors) < len(members)
    assert all(error.retryable for error in errors)
    assert again.error is None
    assert [task.name for task in page.tasks] == ["look", "delete", "restart"]
    assert [event.type for event in log] == ["sage.task.created"] * 3
    assert {event.causation_id for event in log} == {command.event.event_id}
    assert {event.principal_id for event in log} == {"sage.task"}


async def test_a_repeated_command_answers_the_first_reply(
    pool: LocalPool, store: PostgresTaskStore
) -> None:
    command = create_task("Once")

    first = await pool.ask_outcome(command)
    again = await pool.ask_outcome(command)

    assert first.reply == again.reply
    assert first.position == again.position is not None
    assert len((await pool.ask(ListTasks(context=context()))).tasks) == 1


async def test_relations_added_at_the_same_moment_close_no_ring(
    database: Database, store: PostgresTaskStore, pool: LocalPool
) -> None:
    names = "abcdef"
    tasks = {name: await create(pool, name) for name in names}
    ids = {name: task.task_id for name, task in tasks.items()}
    ring = list(zip(names, names[1:] + names[0], strict=True))

    async def relate(before: str, after: str) -> str:
        for _ in range(50):
            command = AddRelation(
                context=context(),
                command_id=f"key-{number()}",
                task_id=ids[before],
                kind=RelationKind.PRECEDES,
                other_id=ids[after],
            )
            try:
                await pool.ask(command)
            except VersionConflict:
                continue
            except Cycle:
                return "ring"
            return "fine"
        return "never"

    results = await asyncio.gather(*(relate(*pair) for pair in ring))

    assert sorted(results) == ["fine"] * 5 + ["ring"]


async def test_completing_a_task_frees_the_one_that_waits_in_one_transaction(
    pool: LocalPool, database: Database
) -> None:
    first, second = await create(pool, "first"), await create(pool, "second")
    await pool.ask(
        AddRelation(
            context=context(),
            command_id=f"key-{number()}",
            task_id=second.task_id,
            kind=RelationKind.FOLLOWS,
            other_id=first.task_id,
        )
    )
    waiting = await pool.ask(GetTask(context=context(), task_id=second.task_id))
    begin = StartTask(context=context(), command_id=f"key-{number()}", task_id=first.task_id)
    await pool.ask(begin)
    done = CompleteTask(context=context(), command_id=f"key-{number()}", task_id=first.task_id)

    outcome = await pool.ask_outcome(done)

    freed = await pool.ask(GetTask(context=context(), task_id=second.task_id))
    log = await of_correlation(database, GUILD, "cor_test", 100)
    last = [event for event in log if event.causation_id == done.command_id]
    assert waiting.status is TaskStatus.BLOCKED
    assert (freed.status, freed.blocked_by) == (TaskStatus.PENDING, ())
    assert [event.type for event in last] == ["sage.task.completed", "sage.task.unblocked"]
    assert len({event.position.xid for event in last}) == 1
    assert outcome.position == last[-1].position


async def test_lists_use_an_index_under_row_security(
    database: Database, store: PostgresTaskStore
) -> None:
    for index in range(30):
        await add(store, new_task(str(index)))

    async with database.transaction(GUILD) as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        plan = await tx.fetch(
            "EXPLAIN SELECT * FROM tasks WHERE guild_id = $1 AND deleted_at IS NULL"
            " AND (created_at, ordinal, task_id) > (now(), 0, '')"
            " ORDER BY created_at, ordinal, task_id LIMIT 20",
            GUILD,
        )

    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using tasks_in_order" in text
    assert "Sort" not in text


async def test_a_member_opens_with_its_store_and_its_ledger(database: Database) -> None:
    host = OneDatabase(database)

    handlers = await TaskMember(MemberIdentity("task", 1, 0)).open(host)

    assert host.ledger is not None
    assert await LocalPool(handlers, host.ledger).ask(ListTasks(context=context()))
