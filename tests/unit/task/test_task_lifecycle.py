"""The states of one task."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from actors.errors import InvalidTransition, NotAuthorized, ValidationError, VersionConflict
from actors.events import (
    TaskAssigned,
    TaskBlocked,
    TaskCancelled,
    TaskCompleted,
    TaskStarted,
    TaskUnblocked,
    TaskUpdated,
)
from actors.runtime.message import Context, Permission
from actors.task.domain import lifecycle
from actors.task.messages import (
    AssignTask,
    Blocker,
    BlockerKind,
    BlockTask,
    CancelTask,
    CompleteTask,
    CreateTask,
    FailTask,
    RetryTask,
    StartTask,
    Task,
    TaskId,
    TaskStatus,
    UnblockTask,
    UpdateTask,
)
from tests.fixtures.task_builders import NOON, context, create_task, new_task

RISK = Blocker(kind=BlockerKind.RISK, ref="inc_9")


def task_that_is(status: TaskStatus, **fields: object) -> Task:
    blocked = (RISK,) if status is TaskStatus.BLOCKED else ()
    task = replace(new_task(), status=status, assignee="user_ops", blocked_by=blocked)
    return replace(task, **fields)  # type: ignore[arg-type]


def start(context_: Context | None = None) -> StartTask:
    return StartTask(context=context_ or context(), command_id="1", task_id="task_1")


def complete(context_: Context | None = None) -> CompleteTask:
    return CompleteTask(
        context=context_ or context(), command_id="1", task_id="task_1", result="cleaned"
    )


def update(**fields: object) -> UpdateTask:
    values = {"expected_version": 1} | fields
    return UpdateTask(context=context(), command_id="1", task_id="task_1", **values)  # type: ignore[arg-type]


def test_starting_a_pending_task_says_when_work_began() -> None:
    task = task_that_is(TaskStatus.PENDING)

    change = lifecycle.start(task, start(), NOON)

    begun = change.of(task)
    assert (begun.status, begun.started_at, begun.version) == (TaskStatus.IN_PROGRESS, NOON, 2)
    assert isinstance(change.steps[0].event, TaskStarted)


def test_a_task_of_nobody_cannot_start() -> None:
    task = task_that_is(TaskStatus.PENDING, assignee=None)

    with pytest.raises(ValidationError, match="assignee"):
        lifecycle.start(task, start(), NOON)


@pytest.mark.parametrize(
    "status",
    [TaskStatus.BLOCKED, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED],
)
def test_only_a_pending_task_starts(status: TaskStatus) -> None:
    with pytest.raises(InvalidTransition):
        lifecycle.start(task_that_is(status), start(), NOON)


def test_completing_keeps_the_result_and_frees_who_waits_for_nothing_else() -> None:
    task = task_that_is(TaskStatus.IN_PROGRESS)
    held = Blocker(kind=BlockerKind.DEPENDENCY, ref=task.task_id)
    freed = task_that_is(TaskStatus.BLOCKED, blocked_by=(held,))
    still = replace(new_task(), status=TaskStatus.BLOCKED, blocked_by=(held, RISK))

    change = lifecycle.complete(task, [freed, still], complete(), NOON)

    done = change.of(task)
    assert (done.status, done.result, done.progress) == (TaskStatus.COMPLETED, "cleaned", 1.0)
    assert change.of(freed).status is TaskStatus.PENDING
    assert (change.of(still).status, change.of(still).blocked_by) == (TaskStatus.BLOCKED, (RISK,))
    assert [type(step.event) for step in change.steps] == [
        TaskCompleted,
        TaskUnblocked,
        TaskUpdated,
    ]


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.BLOCKED, TaskStatus.FAILED])
def test_only_work_that_was_begun_can_end(status: TaskStatus) -> None:
    task = task_that_is(status)

    with pytest.raises(InvalidTransition):
        lifecycle.complete(task, [], complete(), NOON)


def test_work_is_ended_by_who_does_it() -> None:
    task = task_that_is(TaskStatus.IN_PROGRESS)
    elder = context(principal="user_elder", permissions=[Permission.DELETE])
    worker = context(principal="user_ops", permissions=[])

    with pytest.raises(NotAuthorized):
        lifecycle.complete(task, [], complete(elder), NOON)

    assert lifecycle.complete(task, [], complete(worker), NOON).steps


def test_a_failed_task_is_tried_again_by_hand_beyond_its_retries() -> None:
    task = task_that_is(TaskStatus.FAILED, retry_count=3, max_retries=3, error="no space")

    again = lifecycle.retry(
        task, RetryTask(context=context(), command_id="1", task_id="task_1"), NOON
    ).of(task)

    assert (again.status, again.retry_count, again.error) == (TaskStatus.PENDING, 4, "")


def test_a_failed_task_that_has_to_wait_by_now_becomes_blocked() -> None:
    task = task_that_is(TaskStatus.FAILED, blocked_by=(RISK,))

    change = lifecycle.retry(
        task, RetryTask(context=context(), command_id="1", task_id="task_1"), NOON
    )

    assert change.of(task).status is TaskStatus.BLOCKED
    assert isinstance(change.steps[0].event, TaskBlocked)


@pytest.mark.parametrize("status", [TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED])
def test_only_what_failed_is_tried_again(status: TaskStatus) -> None:
    command = RetryTask(context=context(), command_id="1", task_id="task_1")

    with pytest.raises(InvalidTransition):
        lifecycle.retry(task_that_is(status), command, NOON)


def test_only_work_that_was_begun_can_fail() -> None:
    command = FailTask(context=context(), command_id="1", task_id="task_1", error="no space")

    with pytest.raises(InvalidTransition):
        lifecycle.fail(task_that_is(TaskStatus.PENDING), command, NOON)


def test_a_task_waits_for_a_bounded_number_of_things() -> None:
    many = tuple(
        Blocker(kind=BlockerKind.MANUAL, ref=str(index)) for index in range(lifecycle.MAX_BLOCKERS)
    )
    hold = BlockTask(
        context=context(), command_id="1", task_id="task_1", kind=BlockerKind.MANUAL, ref="more"
    )

    with pytest.raises(ValidationError, match="blocked_by"):
        lifecycle.block(task_that_is(TaskStatus.BLOCKED, blocked_by=many), hold, NOON)


def test_failing_needs_a_reason() -> None:
    task = task_that_is(TaskStatus.IN_PROGRESS)
    command = FailTask(context=context(), command_id="1", task_id="task_1", error="  ")

    with pytest.raises(ValidationError, match="error"):
        lifecycle.fail(task, command, NOON)


@pytest.mark.parametrize(
    "status",
    [TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED, TaskStatus.FAILED],
)
def test_what_is_not_done_can_be_given_up(status: TaskStatus) -> None:
    task = task_that_is(status)
    command = CancelTask(context=context(), command_id="1", task_id="task_1", reason="obsolete")

    change = lifecycle.cancel(task, command, NOON)

    given_up = change.of(task)
    assert (given_up.status, given_up.blocked_by) == (TaskStatus.CANCELLED, ())
    assert getattr(change.steps[0].event, "reason", None) == "obsolete"
    assert isinstance(change.steps[0].event, TaskCancelled)


def test_what_is_done_cannot_be_given_up() -> None:
    command = CancelTask(context=context(), command_id="1", task_id="task_1", reason="late")

    with pytest.raises(InvalidTransition):
        lifecycle.cancel(task_that_is(TaskStatus.COMPLETED), command, NOON)


def test_giving_up_needs_a_reason() -> None:
    command = CancelTask(context=context(), command_id="1", task_id="task_1", reason=" ")

    with pytest.raises(ValidationError, match="reason"):
        lifecycle.cancel(task_that_is(TaskStatus.PENDING), command, NOON)


def test_a_repeat_changes_nothing() -> None:
    begun, done = task_that_is(TaskStatus.IN_PROGRESS), task_that_is(TaskStatus.COMPLETED)
    failed, gone = task_that_is(TaskStatus.FAILED), task_that_is(TaskStatus.CANCELLED)
    pending = task_that_is(TaskStatus.PENDING)
    same = {"context": context(), "command_id": "1", "task_id": "task_1"}

    changes = [
        lifecycle.start(begun, start(), NOON),
        lifecycle.complete(done, [], complete(), NOON),
        lifecycle.fail(failed, FailTask(error="no space", **same), NOON),  # type: ignore[arg-type]
        lifecycle.cancel(gone, CancelTask(reason="late", **same), NOON),  # type: ignore[arg-type]
        lifecycle.retry(pending, RetryTask(**same), NOON),  # type: ignore[arg-type]
        lifecycle.assign(pending, AssignTask(assignee="user_ops", **same), NOON),  # type: ignore[arg-type]
    ]

    assert not any(changes)


def test_holding_a_task_in_progress_stops_it_and_letting_go_makes_it_pending() -> None:
    task = task_that_is(TaskStatus.IN_PROGRESS)
    hold = BlockTask(
        context=context(),
        command_id="1",
        task_id="task_1",
        kind=BlockerKind.MANUAL,
        ref="change freeze",
    )
    release = UnblockTask(
        context=context(),
        command_id="2",
        task_id="task_1",
        kind=BlockerKind.MANUAL,
        ref="change freeze",
    )

    held = lifecycle.block(task, hold, NOON).of(task)
    free = lifecycle.unblock(held, release, NOON).of(held)

    assert (held.status, free.status) == (TaskStatus.BLOCKED, TaskStatus.PENDING)
    assert not lifecycle.block(held, hold, NOON)
    assert not lifecycle.unblock(free, release, NOON)


def test_a_hold_without_a_reason_is_refused() -> None:
    hold = BlockTask(
        context=context(), command_id="1", task_id="task_1", kind=BlockerKind.MANUAL, ref=" "
    )

    with pytest.raises(ValidationError, match="ref"):
        lifecycle.block(task_that_is(TaskStatus.PENDING), hold, NOON)


def test_anybody_may_take_a_task_and_only_elders_give_it_to_others() -> None:
    task = replace(new_task(), created_by="user_lead")
    user = context(principal="user_new", permissions=[Permission.WRITE])
    take = AssignTask(context=user, command_id="1", task_id="task_1", assignee="user_new")
    give = AssignTask(context=user, command_id="2", task_id="task_1", assignee="user_other")

    change = lifecycle.assign(task, take, NOON)

    assert change.of(task).assignee == "user_new"
    assert isinstance(change.steps[0].event, TaskAssigned)
    with pytest.raises(NotAuthorized):
        lifecycle.assign(task, give, NOON)


def test_work_in_progress_always_has_somebody() -> None:
    nobody = AssignTask(context=context(), command_id="1", task_id="task_1", assignee=None)

    with pytest.raises(ValidationError, match="assignee"):
        lifecycle.assign(task_that_is(TaskStatus.IN_PROGRESS), nobody, NOON)


def test_an_update_changes_what_is_given_and_none_clears_a_time() -> None:
    task = task_that_is(TaskStatus.PENDING, due_at=NOON, scheduled_at=NOON, tags=("disk",))

    after = lifecycle.update(task, update(name=" New name ", due_at=None), NOON).of(task)

    assert after == replace(
        task, name="New name", due_at=None, version=2, updated_at=NOON, updated_by="user_lead"
    )


def test_an_update_that_says_what_is_so_changes_nothing() -> None:
    task = task_that_is(TaskStatus.PENDING)

    assert not lifecycle.update(task, update(name=task.name), NOON)


def test_an_update_of_an_older_version_is_refused() -> None:
    with pytest.raises(VersionConflict):
        lifecycle.update(task_that_is(TaskStatus.PENDING, version=3), update(name="late"), NOON)


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.CANCELLED])
def test_a_final_task_is_not_corrected(status: TaskStatus) -> None:
    with pytest.raises(InvalidTransition):
        lifecycle.update(task_that_is(status), update(name="better"), NOON)


def test_a_user_changes_only_its_own_tasks() -> None:
    task = replace(new_task(), created_by="user_lead")
    stranger = context(principal="user_new", permissions=[Permission.WRITE, Permission.TASK])
    command = replace(update(name="mine"), context=stranger)

    with pytest.raises(NotAuthorized):
        lifecycle.update(task, command, NOON)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "   "),
        ("name", "x" * 201),
        ("name", "a\x00b"),
        ("name", "half \ud800"),
        ("description", "x" * 20_001),
        ("tags", tuple(str(index) for index in range(11))),
        ("tags", (" ",)),
        ("assignee", " "),
        ("due_at", datetime(2026, 3, 1)),
        ("max_retries", -1),
        ("labels", {"": "x"}),
        ("incident_refs", tuple(str(index) for index in range(101))),
    ],
)
def test_impossible_values_are_refused_by_their_field(field: str, value: object) -> None:
    command = replace(create_task(), **{field: value})  # type: ignore[arg-type]

    with pytest.raises(ValidationError) as refused:
        lifecycle.create(command, TaskId("task_1"), NOON)

    assert refused.value.field == field


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan"), float("inf")])
def test_progress_is_a_fraction(progress: float) -> None:
    with pytest.raises(ValidationError, match="progress"):
        lifecycle.update(task_that_is(TaskStatus.PENDING), update(progress=progress), NOON)


def test_a_name_is_stripped_and_tags_are_kept_once() -> None:
    command = CreateTask(
        context=context(),
        command_id="1",
        name="  Restart it ",
        tags=("disk", " disk ", "io"),
        due_at=NOON + timedelta(days=1),
    )

    task = lifecycle.create(command, TaskId("task_1"), NOON).steps[0].task

    assert (task.name, task.tags, task.correlation_id) == (
        "Restart it",
        ("disk", "io"),
        "cor_test",
    )
