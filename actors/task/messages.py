"""Everything of the Task sage that crosses a process."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NewType

from actors.events import Priority
from actors.runtime.message import Command, Query, ReplyT

TaskId = NewType("TaskId", str)


class TaskStatus(enum.StrEnum):
    """Where a task stands. Completed and cancelled are final."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BlockerKind(enum.StrEnum):
    """Why a task has to wait: for another task, for a risk to pass, or because a person said so."""

    DEPENDENCY = "dependency"
    RISK = "risk"
    MANUAL = "manual"


class Origin(enum.StrEnum):
    """Where a task comes from."""

    PERSON = "person"
    RUNBOOK = "runbook"
    REVIEW = "review"


class RelationKind(enum.StrEnum):
    """Read it as a sentence: *task* KIND *other*, such as "A precedes B", "A subtask (of) B".

    The first eleven are between two tasks, and the inverse is made by itself. Of them ``blocking``
    and ``precedes`` make the other task wait until this one is completed, and may not form a ring.
    The last two point to an incident and to a document or a knowledge entity.
    """

    SUBTASK = "subtask"
    PARENT = "parent"
    RELATED = "related"
    DUPLICATE_OF = "duplicate_of"
    DUPLICATES = "duplicates"
    BLOCKING = "blocking"
    BLOCKED = "blocked"
    PRECEDES = "precedes"
    FOLLOWS = "follows"
    COPIED_FROM = "copied_from"
    COPIED_TO = "copied_to"
    CAUSED_BY_INCIDENT = "caused_by_incident"
    DOCUMENTED_BY = "documented_by"


class Unset(enum.Enum):
    """Told apart from None where None is a value."""

    UNSET = "unset"


UNSET: Literal[Unset.UNSET] = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """One thing that a task waits for.

    Attributes:
        ref: id of the task or the incident; of a manual one, the reason in words.
    """

    kind: BlockerKind
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do.

    Attributes:
        progress: 0 to 1.
        origin: who made it: a person, or the sage from a runbook or from a review.
        ordinal: its place among the tasks of the same origin, from 1; 0: it has none.
        started_at: when work on it began first; None: it never did.
        blocked_by: what it waits for. A pending task that waits is ``blocked``.
        correlation_id: of what caused it; every event of the task carries it.
    """

    task_id: TaskId
    name: str
    description: str
    category: str
    status: TaskStatus
    priority: Priority
    origin: Origin
    ordinal: int
    assignee: str | None
    due_at: datetime | None
    scheduled_at: datetime | None
    started_at: datetime | None
    progress: float
    result: str
    error: str
    reason: str
    retry_count: int
    max_retries: int
    knowledge_refs: tuple[str, ...]
    incident_refs: tuple[str, ...]
    blocked_by: tuple[Blocker, ...]
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    correlation_id: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """*task_id* KIND *other_id*; see `RelationKind`."""

    task_id: str
    kind: RelationKind
    other_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """All relations of one task, by kind, then by the other's id."""

    task_id: str
    relations: tuple[Relation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Some tasks, oldest first; those made from one runbook or review in its order.

    Attributes:
        next_cursor: where the next page begins; None: this was the last.
    """

    tasks: tuple[Task, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTask(Command[Task]):
    """Makes a pending task."""

    name: str
    description: str = ""
    category: str = ""
    priority: Priority = Priority.NORMAL
    assignee: str | None = None
    due_at: datetime | None = None
    scheduled_at: datetime | None = None
    max_retries: int = 3
    knowledge_refs: tuple[str, ...] = ()
    incident_refs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCommand(Command[ReplyT]):
    """Every command about one task: its changes are made one at a time."""

    task_id: str

    @property
    def key(self) -> str:
        """The id."""
        return self.task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTask(TaskCommand[Task]):
    """Changes what is given and leaves the rest; ``due_at`` and ``scheduled_at`` None clear it.

    Completed and cancelled tasks are not changed any more: `InvalidTransition`.

    Attributes:
        expected_version: not the current one: `VersionConflict`.
    """

    expected_version: int
    name: str | None = None
    description: str | None = None
    category: str | None = None
    priority: Priority | None = None
    due_at: datetime | Literal[Unset.UNSET] | None = UNSET
    scheduled_at: datetime | Literal[Unset.UNSET] | None = UNSET
    progress: float | None = None
    max_retries: int | None = None
    knowledge_refs: tuple[str, ...] | None = None
    incident_refs: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTask(TaskCommand[Task]):
    """Says who does it; None: nobody. A task in progress always has somebody."""

    assignee: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTask(TaskCommand[Task]):
    """Begins the work. Needs an assignee, and nothing that it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteTask(TaskCommand[Task]):
    """Ends the work well, by the assignee or an admin; tasks that waited for it are freed."""

    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailTask(TaskCommand[Task]):
    """Ends the work badly, by the assignee or an admin; `RetryTask` makes it pending again."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTask(TaskCommand[Task]):
    """Makes a failed task pending again, by hand: also above ``max_retries``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTask(TaskCommand[Task]):
    """Gives it up, with a reason. Tasks that wait for it go on waiting: somebody must decide."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTask(TaskCommand[Task]):
    """Holds a task: for a risk (``ref`` is the incident) or by hand (``ref`` is the reason)."""

    kind: Literal[BlockerKind.RISK, BlockerKind.MANUAL]
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblockTask(TaskCommand[Task]):
    """Takes such a hold away; one that is not there is no error."""

    kind: Literal[BlockerKind.RISK, BlockerKind.MANUAL]
    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTask(TaskCommand[None]):
    """Takes it out of every list and search, with its relations; tasks that waited are freed.

    Attributes:
        expected_version: where given and not the current one, `VersionConflict`.
    """

    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRelation(TaskCommand[Relation]):
    """Relates two tasks both ways, or a task to an incident or a document. A repeat is no error.

    Raises `Cycle` with the tasks of the ring that it would close.
    """

    kind: RelationKind
    other_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRelation(TaskCommand[None]):
    """Takes a relation and its inverse away; one that is not there is `NotFound`."""

    kind: RelationKind
    other_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetTask(Query[Task]):
    """One task as it is."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRelations(Query[Relations]):
    """What a task is related to."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasks(Query[TaskPage]):
    """Tasks that match everything given.

    Attributes:
        statuses: any of these; empty: any.
        incident_id: tasks that refer to it.
        limit: 1 to 100.
        cursor: ``next_cursor`` of the page before, with the same filters.
    """

    statuses: frozenset[TaskStatus] = frozenset()
    assignee: str | None = None
    incident_id: str | None = None
    limit: int = 20
    cursor: str | None = None
