"""What a decision amounts to; the store makes it so in one transaction, or not at all."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from actors.events import (
    Payload,
    TaskBlocked,
    TaskCreated,
    TaskUnblocked,
    TaskUpdated,
)
from actors.task.messages import Blocker, BlockerKind, Relation, Task, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The next version of one task, and the event that tells of it.

    Attributes:
        task: as it is afterwards; the row to replace has the version before.
        deleted: it is gone afterwards.
    """

    task: Task
    event: Payload
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Steps of different tasks, with the relations that come and go.

    Attributes:
        added: relations with their inverses.
        removed: likewise.
        plan_version: the plan was looked at in this version, and the change holds only if it is
            still the same; None: it does not depend on the plan.
    """

    steps: tuple[Step, ...] = ()
    added: tuple[Relation, ...] = ()
    removed: tuple[Relation, ...] = ()
    plan_version: int | None = None

    def __bool__(self) -> bool:
        return bool(self.steps)

    def of(self, task: Task) -> Task:
        """The task as it is afterwards; unchanged where the change does not touch it."""
        return next((step.task for step in self.steps if step.task.task_id == task.task_id), task)


NOTHING = Change()


def created(task: Task) -> Step:
    """A new task, version 1."""
    return Step(task=task, event=described(TaskCreated, task))


def step(task: Task, event: type[TaskCreated], now: datetime, by: str, **fields: Any) -> Step:
    """The task with other fields, one version later."""
    after = replace(task, version=task.version + 1, updated_at=now, updated_by=by, **fields)
    return Step(task=after, event=described(event, after))


def described(event: type[TaskCreated], task: Task) -> TaskCreated:
    """The event with the task in whole: every field of a task's event is a field of the task."""
    values = {field.name: getattr(task, field.name) for field in dataclasses.fields(event)}
    values |= {"status": task.status.value, "priority": task.priority.value}
    return event(**values | {"labels": dict(task.labels)})


def waiting_for(task: Task, blockers: Sequence[Blocker], now: datetime, by: str) -> Step:
    """The task with other blockers, and the state that follows from them.

    A task that waits is blocked, also where it was begun; one that waits for nothing any more is
    pending. Failed ones keep their state until they are tried again.
    """
    status = task.status
    if status in {TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED}:
        status = resting(blockers) if blockers or status is TaskStatus.BLOCKED else status
    match task.status, status:
        case before, after if before is after:
            event: type[TaskCreated] = TaskUpdated
        case _, TaskStatus.BLOCKED:
            event = TaskBlocked
        case _:
            event = TaskUnblocked
    return step(task, event, now, by, status=status, blocked_by=tuple(blockers))


def resting(blockers: Sequence[Blocker]) -> TaskStatus:
    """The state of a task that nobody works on."""
    return TaskStatus.BLOCKED if blockers else TaskStatus.PENDING


def without(task: Task, holder_id: str) -> tuple[Blocker, ...]:
    """What the task waits for besides the task ``holder_id``."""
    held = Blocker(kind=BlockerKind.DEPENDENCY, ref=holder_id)
    return tuple(blocker for blocker in task.blocked_by if blocker != held)
