"""The Task sage over the memory store: relations, lists, and what other sages' events cause."""

from dataclasses import replace

import pytest

from actors.clock import derived_id
from actors.errors import Cycle, ElderGuildError, NotFound, ValidationError
from actors.events import (
    DeliverEvent,
    DossierReady,
    IncidentAcknowledged,
    Priority,
    TaskBlocked,
    TaskCancelled,
    TaskCreated,
    TaskDeleted,
    TaskUnblocked,
)
from actors.runtime.local import LocalPool
from actors.settings import TaskSettings
from actors.task.messages import (
    AddRelation,
    AssignTask,
    CancelTask,
    CompleteTask,
    DeleteTask,
    GetRelations,
    GetTask,
    ListTasks,
    Origin,
    Relation,
    RelationKind,
    RemoveRelation,
    StartTask,
    Task,
    TaskStatus,
)
from actors.task.sage import TaskSage
from tests.fixtures.task_builders import (
    GUILD,
    INCIDENT,
    NOON,
    OTHER_GUILD,
    context,
    create_task,
    delivery,
    dossier,
    number,
    resolved,
    review,
)
from tests.fixtures.task_memory import MemoryTaskStore


@pytest.fixture
def store() -> MemoryTaskStore:
    return MemoryTaskStore()


@pytest.fixture
def pool(store: MemoryTaskStore) -> LocalPool:
    sage = TaskSage(store, TaskSettings(max_tasks_per_event=4, max_relations=3), now=lambda: NOON)
    return LocalPool(sage.handlers(), store)


def relate(one: Task, kind: RelationKind, other_id: str) -> AddRelation:
    return AddRelation(
        context=context(),
        command_id=f"key-{number()}",
        task_id=one.task_id,
        kind=kind,
        other_id=other_id,
    )


async def tasks_of(pool: LocalPool, **filters: object) -> tuple[Task, ...]:
    query = ListTasks(context=context(), **filters)  # type: ignore[arg-type]
    return (await pool.ask(query)).tasks


async def task_now(pool: LocalPool, task_id: str) -> Task:
    return await pool.ask(GetTask(context=context(), task_id=task_id))


async def begin(pool: LocalPool, task: Task) -> None:
    mine = AssignTask(
        context=context(),
        command_id=f"key-{number()}",
        task_id=task.task_id,
        assignee="user_lead",
    )
    await pool.ask(mine)
    await pool.ask(StartTask(context=context(), command_id=f"key-{number()}", task_id=task.task_id))


async def test_the_inverse_of_a_relation_is_made_by_itself(pool: LocalPool) -> None:
    one, two = await pool.ask(create_task()), await pool.ask(create_task())

    await pool.ask(relate(one, RelationKind.SUBTASK, two.task_id))

    found = await pool.ask(GetRelations(context=context(), task_id=two.task_id))
    parent = Relation(task_id=two.task_id, kind=RelationKind.PARENT, other_id=one.task_id)
    assert found.relations == (parent,)


async def test_who_follows_waits_until_the_relation_is_gone(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    one, two = await pool.ask(create_task()), await pool.ask(create_task())
    await pool.ask(relate(two, RelationKind.FOLLOWS, one.task_id))
    waiting = await task_now(pool, two.task_id)

    await pool.ask(
        RemoveRelation(
            context=context(),
            command_id=f"key-{number()}",
            task_id=one.task_id,
            kind=RelationKind.PRECEDES,
            other_id=two.task_id,
        )
    )

    freed = await task_now(pool, two.task_id)
    events = [type(event) for event, _, _ in store.events]
    assert (waiting.status, freed.status) == (TaskStatus.BLOCKED, TaskStatus.PENDING)
    assert events.count(TaskBlocked) == events.count(TaskUnblocked) == 1


async def test_a_ring_is_refused_with_its_tasks(pool: LocalPool) -> None:
    one, two, three = [await pool.ask(create_task()) for _ in range(3)]
    await pool.ask(relate(one, RelationKind.PRECEDES, two.task_id))
    await pool.ask(relate(three, RelationKind.BLOCKED, two.task_id))

    with pytest.raises(Cycle) as refused:
        await pool.ask(relate(one, RelationKind.FOLLOWS, three.task_id))

    assert refused.value.ids == (three.task_id, one.task_id, two.task_id)


async def test_a_relation_that_is_there_already_is_no_error(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    one, two = await pool.ask(create_task()), await pool.ask(create_task())
    first = await pool.ask(relate(one, RelationKind.RELATED, two.task_id))
    events = len(store.events)

    again = await pool.ask(relate(one, RelationKind.RELATED, two.task_id))

    assert (again, len(store.events)) == (first, events)


async def test_a_relation_to_an_incident_shows_in_the_tasks_references(pool: LocalPool) -> None:
    task = await pool.ask(create_task())
    gone = RemoveRelation(
        context=context(),
        command_id=f"key-{number()}",
        task_id=task.task_id,
        kind=RelationKind.CAUSED_BY_INCIDENT,
        other_id=INCIDENT,
    )

    await pool.ask(relate(task, RelationKind.CAUSED_BY_INCIDENT, INCIDENT))
    during = await tasks_of(pool, incident_id=INCIDENT)
    await pool.ask(gone)
    after = await tasks_of(pool, incident_id=INCIDENT)

    assert [found.task_id for found in during] == [task.task_id]
    assert after == ()


@pytest.mark.parametrize("kind", [RelationKind.RELATED, RelationKind.PRECEDES])
async def test_a_task_is_not_related_to_itself(pool: LocalPool, kind: RelationKind) -> None:
    task = await pool.ask(create_task())

    with pytest.raises(ValidationError, match="other_id"):
        await pool.ask(relate(task, kind, task.task_id))


async def test_a_task_has_a_bounded_number_of_relations(pool: LocalPool) -> None:
    task = await pool.ask(create_task())
    for index in range(3):
        await pool.ask(relate(task, RelationKind.DOCUMENTED_BY, f"doc_{index}"))

    with pytest.raises(ValidationError, match="relations"):
        await pool.ask(relate(task, RelationKind.DOCUMENTED_BY, "doc_3"))


async def test_what_is_not_there_is_not_found(pool: LocalPool) -> None:
    task = await pool.ask(create_task())
    foreign = GetTask(context=context(OTHER_GUILD), task_id=task.task_id)
    to_nothing = relate(task, RelationKind.RELATED, "task_unknown")
    no_relation = RemoveRelation(
        context=context(),
        command_id="key-x",
        task_id=task.task_id,
        kind=RelationKind.DOCUMENTED_BY,
        other_id="doc_1",
    )

    errors = [
        (await pool.ask_outcome(foreign)).error,
        (await pool.ask_outcome(to_nothing)).error,
        (await pool.ask_outcome(no_relation)).error,
    ]

    assert [type(error) for error in errors] == [NotFound] * 3


async def test_deleting_a_task_frees_who_waited_and_leaves_no_relation(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    one, two = await pool.ask(create_task()), await pool.ask(create_task())
    await pool.ask(relate(one, RelationKind.BLOCKING, two.task_id))

    await pool.ask(DeleteTask(context=context(), command_id=f"key-{number()}", task_id=one.task_id))

    assert (await task_now(pool, two.task_id)).status is TaskStatus.PENDING
    assert await store.relations(GUILD, [two.task_id]) == []
    assert TaskDeleted(task_id=one.task_id) in [event for event, _, _ in store.events]
    with pytest.raises(NotFound):
        await task_now(pool, one.task_id)


async def test_one_of_two_holding_relations_goes_on_holding(pool: LocalPool) -> None:
    one, two = await pool.ask(create_task()), await pool.ask(create_task())
    await pool.ask(relate(one, RelationKind.BLOCKING, two.task_id))
    await pool.ask(relate(one, RelationKind.PRECEDES, two.task_id))

    await pool.ask(
        RemoveRelation(
            context=context(),
            command_id=f"key-{number()}",
            task_id=one.task_id,
            kind=RelationKind.BLOCKING,
            other_id=two.task_id,
        )
    )

    assert (await task_now(pool, two.task_id)).status is TaskStatus.BLOCKED


async def test_a_plan_too_large_to_follow_takes_no_more(store: MemoryTaskStore) -> None:
    sage = TaskSage(store, TaskSettings(max_order_edges=1), now=lambda: NOON)
    pool = LocalPool(sage.handlers(), store)
    tasks = [await pool.ask(create_task()) for _ in range(4)]
    await pool.ask(relate(tasks[2], RelationKind.PRECEDES, tasks[3].task_id))
    await pool.ask(relate(tasks[1], RelationKind.PRECEDES, tasks[2].task_id))

    with pytest.raises(ValidationError, match="followed"):
        await pool.ask(relate(tasks[0], RelationKind.PRECEDES, tasks[1].task_id))


async def test_a_completed_task_holds_nobody(pool: LocalPool) -> None:
    one, two = await pool.ask(create_task()), await pool.ask(create_task())
    await begin(pool, one)
    await pool.ask(
        CompleteTask(context=context(), command_id=f"key-{number()}", task_id=one.task_id)
    )

    await pool.ask(relate(one, RelationKind.BLOCKING, two.task_id))

    assert (await task_now(pool, two.task_id)).status is TaskStatus.PENDING


async def test_one_task_is_made_of_each_step_of_a_runbook(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    command = delivery(dossier("Look at the disk", "Delete old logs"), "task.runbook")

    await pool.ask(command)

    first, second = await tasks_of(pool, incident_id=INCIDENT)
    assert [first.name, second.name] == ["Look at the disk", "Delete old logs"]
    assert first.task_id == derived_id("task", NOON, command.event.event_id, "0")
    assert (second.origin, second.ordinal) == (Origin.RUNBOOK, 2)
    assert second.status is TaskStatus.PENDING
    assert (second.priority, second.knowledge_refs) == (Priority.HIGH, ("doc_1",))
    assert second.incident_refs == (INCIDENT,)
    cause = Relation(task_id=first.task_id, kind=RelationKind.CAUSED_BY_INCIDENT, other_id=INCIDENT)
    assert cause in await store.relations(GUILD, [first.task_id])
    assert {(cor, by) for _, cor, by in store.events} == {("cor_incident", "sage.task")}


async def test_a_second_delivery_makes_nothing_twice(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    command = delivery(dossier("one", "two"), "task.runbook")
    fresh = TaskSage(store, TaskSettings(), now=lambda: NOON)

    await pool.ask(command)
    before = await tasks_of(pool)
    await pool.ask(command)
    await LocalPool(fresh.handlers()).ask(command)  # a member that remembers nothing

    assert await tasks_of(pool) == before
    assert len(store.events) == 2


async def test_a_dossier_made_again_does_not_double_the_work(pool: LocalPool) -> None:
    await pool.ask(delivery(dossier("one", "two"), "task.runbook"))

    await pool.ask(delivery(dossier("one", "two"), "task.runbook"))
    await pool.ask(delivery(dossier("three", runbook="doc_2"), "task.runbook"))

    names = sorted(task.name for task in await tasks_of(pool))
    assert names == ["one", "three", "two"]


async def taken_back(pool: LocalPool, made: DeliverEvent) -> None:
    undo = delivery(resolved(), "task.runbook.undo")
    event_id = made.event.event_id
    await pool.ask(replace(undo, command_id=f"task.runbook.undo/{event_id}"))


async def test_a_runbooks_tasks_are_taken_back_and_do_not_come_again(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    made = delivery(dossier("one", "two"), "task.runbook")
    await pool.ask(made)
    begun, _ = await tasks_of(pool)
    await begin(pool, begun)

    for _ in range(2):
        await taken_back(pool, made)
        await pool.ask(made)

    statuses = [task.status for task in await tasks_of(pool)]
    cancelled = [event for event, _, _ in store.events if isinstance(event, TaskCancelled)]
    assert statuses == [TaskStatus.IN_PROGRESS, TaskStatus.CANCELLED]
    assert [event.reason for event in cancelled] == ["incident resolved"]


async def test_a_dossier_on_its_way_makes_no_tasks_once_they_were_taken_back(
    pool: LocalPool,
) -> None:
    late = delivery(dossier("one"), "task.runbook")
    await taken_back(pool, late)

    await pool.ask(late)

    assert await tasks_of(pool) == ()


@pytest.mark.parametrize("payload", [dossier(), dossier("orphan", runbook=None)])
async def test_a_dossier_without_a_runbook_makes_no_task(
    pool: LocalPool, payload: DossierReady
) -> None:
    await pool.ask(delivery(payload, "task.runbook"))

    assert await tasks_of(pool) == ()


async def test_a_runbook_makes_a_bounded_number_of_tasks_with_names_that_fit(
    pool: LocalPool,
) -> None:
    titles = ["x" * 300, " ", *"abcdefg"]

    await pool.ask(delivery(dossier(*titles), "task.runbook"))

    long, blank, *others = await tasks_of(pool)
    assert len(others) == 2
    assert (len(long.name), long.name[-1]) == (200, "…")
    assert long.description.startswith("x" * 300)
    assert blank.name == "Step 2"


async def test_each_action_of_a_review_becomes_a_task_of_its_owner(pool: LocalPool) -> None:
    await pool.ask(delivery(review("Rotate logs", "Alert at 80 %"), "task.actions"))
    await pool.ask(delivery(review("Rotate logs", "Buy a disk"), "task.actions"))

    tasks = await tasks_of(pool, assignee="user_ops")
    assert sorted(task.name for task in tasks) == ["Alert at 80 %", "Buy a disk", "Rotate logs"]
    assert {task.origin for task in tasks} == {Origin.REVIEW}
    assert {task.priority for task in tasks} == {Priority.CRITICAL}


async def test_resolution_cancels_the_steps_that_nobody_began(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    await pool.ask(delivery(dossier("begun", "untouched"), "task.runbook"))
    await pool.ask(delivery(review("later"), "task.actions"))
    await begin(pool, next(task for task in await tasks_of(pool) if task.name == "begun"))
    command = delivery(resolved(), "task.incident_resolved")

    await pool.ask(command)
    await pool.ask(command)

    after = {task.name: task for task in await tasks_of(pool)}
    statuses = {name: task.status for name, task in after.items()}
    assert statuses == {
        "begun": TaskStatus.IN_PROGRESS,
        "untouched": TaskStatus.CANCELLED,
        "later": TaskStatus.PENDING,
    }
    assert after["untouched"].reason == "incident resolved"
    assert [type(event) for event, _, _ in store.events].count(TaskCancelled) == 1


async def test_after_a_cancelled_round_a_new_dossier_makes_tasks_again(pool: LocalPool) -> None:
    await pool.ask(delivery(dossier("one"), "task.runbook"))
    await pool.ask(delivery(resolved(), "task.incident_resolved"))

    await pool.ask(delivery(dossier("one"), "task.runbook"))

    pending = await tasks_of(pool, statuses=frozenset({TaskStatus.PENDING}))
    assert [task.name for task in pending] == ["one"]


async def test_a_dossier_of_unknown_urgency_makes_ordinary_tasks(pool: LocalPool) -> None:
    await pool.ask(delivery(replace(dossier("one"), priority="blocker"), "task.runbook"))

    (task,) = await tasks_of(pool)
    assert task.priority is Priority.NORMAL


async def test_an_event_that_nobody_asked_for_is_a_fault_and_not_a_silence(
    pool: LocalPool,
) -> None:
    payload = IncidentAcknowledged(incident_id=INCIDENT, acknowledged_by="user_lead")

    with pytest.raises(ElderGuildError):
        await pool.ask(delivery(payload, "task.runbook"))


@pytest.mark.parametrize("limit", [0, 101])
async def test_a_page_has_a_bounded_size(pool: LocalPool, limit: int) -> None:
    with pytest.raises(ValidationError, match="limit"):
        await tasks_of(pool, limit=limit)


async def test_a_repeated_cancel_answers_the_first_reply(
    pool: LocalPool, store: MemoryTaskStore
) -> None:
    task = await pool.ask(create_task())
    command = CancelTask(
        context=context(), command_id="key-cancel", task_id=task.task_id, reason="obsolete"
    )

    first, again = await pool.ask(command), await pool.ask(command)

    assert first == again
    assert [type(event) for event, _, _ in store.events] == [TaskCreated, TaskCancelled]
