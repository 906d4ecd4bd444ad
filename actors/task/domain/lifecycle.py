"""One task and its states.

pending → in_progress → completed or failed; failed → pending; any but completed → cancelled.
``blocked`` is never chosen: it follows from what a task waits for. A command that finds its work
done already changes nothing and is no error.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from actors import checks
from actors.errors import InvalidTransition, NotAuthorized, ValidationError, VersionConflict
from actors.events import (
    TaskAssigned,
    TaskBlocked,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
    TaskUpdated,
)
from actors.runtime.message import Caller, Permission
from actors.task.domain.change import (
    NOTHING,
    Change,
    Step,
    created,
    resting,
    step,
    waiting_for,
    without,
)
from actors.task.messages import (
    UNSET,
    AssignTask,
    Blocker,
    BlockerKind,
    BlockTask,
    CancelTask,
    CompleteTask,
    CreateTask,
    FailTask,
    Origin,
    RetryTask,
    StartTask,
    Task,
    TaskId,
    TaskStatus,
    UnblockTask,
    UpdateTask,
)

NAME_MAX = 200
TEXT_MAX = 20_000
WORD_MAX = 200
MAX_RETRIES = 100
MAX_BLOCKERS = 200

_FINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.CANCELLED})


def create(command: CreateTask, task_id: TaskId, now: datetime) -> Change:
    """A pending task, checked field by field."""
    context = command.context
    task = Task(
        task_id=task_id,
        name=command.name,
        description=command.description,
        category=command.category,
        status=TaskStatus.PENDING,
        priority=command.priority,
        origin=Origin.PERSON,
        ordinal=0,
        assignee=command.assignee,
        due_at=command.due_at,
        scheduled_at=command.scheduled_at,
        started_at=None,
        progress=0.0,
        result="",
        error="",
        reason="",
        retry_count=0,
        max_retries=command.max_retries,
        knowledge_refs=command.knowledge_refs,
        incident_refs=command.incident_refs,
        blocked_by=(),
        tags=command.tags,
        labels=command.labels,
        correlation_id=context.correlation_id,
        version=1,
        created_at=now,
        created_by=context.caller.principal_id,
        updated_at=now,
        updated_by=context.caller.principal_id,
    )
    return Change(steps=(created(_checked(task)),))


def update(task: Task, command: UpdateTask, now: datetime) -> Change:
    """Other fields; equal ones change nothing."""
    caller = owner(task, command.context.caller)
    at_version(task, command.expected_version)
    _not_final(task, "changed")
    fields = _given(command)
    checked = _checked(replace(task, **fields))
    if checked == task:
        return NOTHING
    fields = {name: getattr(checked, name) for name in fields}
    return Change(steps=(step(task, TaskUpdated, now, caller.principal_id, **fields),))


def assign(task: Task, command: AssignTask, now: datetime) -> Change:
    """Who does it. Anybody may take a task; giving it away needs the right to change it."""
    caller = command.context.caller
    if command.assignee != caller.principal_id:
        owner(task, caller)
    _not_final(task, "assigned")
    assignee = _assignee(command.assignee)
    if assignee == task.assignee:
        return NOTHING
    if assignee is None and task.status is TaskStatus.IN_PROGRESS:
        raise ValidationError("assignee", "somebody has to do what is in progress")
    return Change(steps=(step(task, TaskAssigned, now, caller.principal_id, assignee=assignee),))


def start(task: Task, command: StartTask, now: datetime) -> Change:
    """Pending → in_progress: it waits for nothing, and somebody does it."""
    caller = owner(task, command.context.caller)
    match task.status:
        case TaskStatus.IN_PROGRESS:
            return NOTHING
        case TaskStatus.PENDING if task.assignee is None:
            raise ValidationError("assignee", "somebody has to do it: assign it first")
        case TaskStatus.PENDING:
            began = {"status": TaskStatus.IN_PROGRESS, "started_at": task.started_at or now}
            return Change(steps=(step(task, TaskStarted, now, caller.principal_id, **began),))
        case _:
            raise InvalidTransition("task", task.status, TaskStatus.IN_PROGRESS)


def complete(task: Task, waiting: Sequence[Task], command: CompleteTask, now: datetime) -> Change:
    """in_progress → completed, and ``waiting`` tasks stop waiting for it."""
    by = _worker(task, command.context.caller).principal_id
    if task.status is TaskStatus.COMPLETED:
        return NOTHING
    if task.status is not TaskStatus.IN_PROGRESS:
        raise InvalidTransition("task", task.status, TaskStatus.COMPLETED)
    done = step(
        task,
        TaskCompleted,
        now,
        by,
        status=TaskStatus.COMPLETED,
        progress=1.0,
        result=checks.text("result", command.result, TEXT_MAX),
    )
    return Change(steps=(done, *freed(waiting, task.task_id, now, by)))


def fail(task: Task, command: FailTask, now: datetime) -> Change:
    """in_progress → failed."""
    caller = _worker(task, command.context.caller)
    if task.status is TaskStatus.FAILED:
        return NOTHING
    if task.status is not TaskStatus.IN_PROGRESS:
        raise InvalidTransition("task", task.status, TaskStatus.FAILED)
    error = checks.text("error", command.error, TEXT_MAX, required=True)
    failed = step(task, TaskFailed, now, caller.principal_id, status=TaskStatus.FAILED, error=error)
    return Change(steps=(failed,))


def retry(task: Task, command: RetryTask, now: datetime) -> Change:
    """Failed → pending, or blocked where it waits for something by now."""
    caller = owner(task, command.context.caller)
    if task.status in {TaskStatus.PENDING, TaskStatus.BLOCKED}:
        return NOTHING
    if task.status is not TaskStatus.FAILED:
        raise InvalidTransition("task", task.status, TaskStatus.PENDING)
    status = resting(task.blocked_by)
    event = TaskBlocked if status is TaskStatus.BLOCKED else TaskUpdated
    again = {"status": status, "retry_count": task.retry_count + 1, "error": "", "progress": 0.0}
    return Change(steps=(step(task, event, now, caller.principal_id, **again),))


def cancel(task: Task, command: CancelTask, now: datetime) -> Change:
    """Any but completed → cancelled. Tasks that wait for it go on waiting."""
    caller = owner(task, command.context.caller)
    return cancelled(task, command.reason, now, caller.principal_id)


def cancelled(task: Task, reason: str, now: datetime, by: str) -> Change:
    """The task given up, for a reason; one that is already, unchanged."""
    if task.status is TaskStatus.CANCELLED:
        return NOTHING
    if task.status is TaskStatus.COMPLETED:
        raise InvalidTransition("task", task.status, TaskStatus.CANCELLED)
    reason = checks.text("reason", reason, TEXT_MAX, required=True)
    given_up = {"status": TaskStatus.CANCELLED, "reason": reason, "blocked_by": ()}
    return Change(steps=(step(task, TaskCancelled, now, by, **given_up),))


def block(task: Task, command: BlockTask, now: datetime) -> Change:
    """One thing more to wait for."""
    caller = owner(task, command.context.caller)
    _not_final(task, TaskStatus.BLOCKED)
    blocker = Blocker(
        kind=BlockerKind(command.kind),
        ref=checks.text("ref", command.ref, NAME_MAX, required=True),
    )
    if blocker in task.blocked_by:
        return NOTHING
    if len(task.blocked_by) >= MAX_BLOCKERS:
        raise ValidationError("blocked_by", f"are more than {MAX_BLOCKERS}")
    held = waiting_for(task, (*task.blocked_by, blocker), now, caller.principal_id)
    return Change(steps=(held,))


def unblock(task: Task, command: UnblockTask, now: datetime) -> Change:
    """One thing less to wait for."""
    caller = owner(task, command.context.caller)
    blocker = Blocker(kind=BlockerKind(command.kind), ref=command.ref.strip())
    if blocker not in task.blocked_by:
        return NOTHING
    left = tuple(other for other in task.blocked_by if other != blocker)
    return Change(steps=(waiting_for(task, left, now, caller.principal_id),))


def freed(waiting: Sequence[Task], holder_id: str, now: datetime, by: str) -> list[Step]:
    """Steps of those tasks that waited for ``holder_id``."""
    return [
        waiting_for(task, left, now, by)
        for task in waiting
        if (left := without(task, holder_id)) != task.blocked_by
    ]


def may_change(task: Task, caller: Caller) -> bool:
    """Elders change any task; others those they made or do."""
    own = caller.principal_id in {task.created_by, task.assignee}
    return own or caller.may(Permission.DELETE)


def at_version(task: Task, expected: int | None) -> None:
    """Refuses a change that was decided on another version."""
    if expected is not None and expected != task.version:
        raise VersionConflict("task", task.task_id)


def owner(task: Task, caller: Caller) -> Caller:
    """The caller, who may change the task.

    Raises:
        NotAuthorized: it is somebody else's.
    """
    if not may_change(task, caller):
        raise NotAuthorized("to change the tasks of others")
    return caller


def _worker(task: Task, caller: Caller) -> Caller:
    if caller.principal_id != task.assignee and not caller.may(Permission.ADMIN):
        raise NotAuthorized("of the task's assignee")
    return caller


def _not_final(task: Task, wanted: str) -> None:
    if task.status in _FINAL:
        raise InvalidTransition("task", task.status, wanted)


def _assignee(value: str | None) -> str | None:
    return None if value is None else checks.text("assignee", value, WORD_MAX, required=True)


_PATCHED = tuple(
    field.name
    for field in dataclasses.fields(UpdateTask)
    if field.name in Task.__dataclass_fields__ and field.name != "task_id"
)
_CLEARED_BY_NONE = frozenset({"due_at", "scheduled_at"})


def _given(command: UpdateTask) -> dict[str, Any]:
    values = {name: getattr(command, name) for name in _PATCHED}
    return {
        name: value
        for name, value in values.items()
        if value is not UNSET and (value is not None or name in _CLEARED_BY_NONE)
    }


def _checked(task: Task) -> Task:
    for name in ("due_at", "scheduled_at"):
        moment: datetime | None = getattr(task, name)
        if moment is not None and moment.tzinfo is None:
            raise ValidationError(name, "has no time zone")
    if not 0 <= task.max_retries <= MAX_RETRIES:
        raise ValidationError("max_retries", f"is not between 0 and {MAX_RETRIES}")
    return replace(
        task,
        name=checks.text("name", task.name, NAME_MAX, required=True),
        description=checks.text("description", task.description, TEXT_MAX),
        category=checks.text("category", task.category, WORD_MAX),
        assignee=_assignee(task.assignee),
        progress=checks.fraction("progress", task.progress),
        knowledge_refs=checks.references("knowledge_refs", task.knowledge_refs),
        incident_refs=checks.references("incident_refs", task.incident_refs),
        tags=checks.tags(task.tags),
        labels=checks.labels(task.labels),
    )
