"""Tasks and their relations over HTTP."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from actors.events import Priority
from actors.runtime.message import Context
from actors.task.messages import (
    UNSET,
    AddRelation,
    BlockerKind,
    BlockTask,
    CreateTask,
    ListTasks,
    RelationKind,
    TaskStatus,
    UnblockTask,
    UpdateTask,
)
from actors.task.messages import (
    Origin as MadeBy,
)
from serve_app.call import Origin
from serve_app.schemas.common import Paging, Person, example
from serve_app.strict import (
    Fraction,
    Integer,
    Labels,
    Line,
    Moment,
    Reference,
    References,
    Shown,
    Strict,
    Tags,
    Text,
    View,
    Words,
)

_Retries = Annotated[Integer, Field(le=100)]


class TaskIn(Strict):
    """Something to do."""

    name: Line = Field(max_length=200)
    description: Text = Field(default="", max_length=20_000)
    category: Text = Field(default="", max_length=64)
    priority: Priority = Priority.NORMAL
    assignee: Person | None = None
    due_at: Moment | None = None
    scheduled_at: Moment | None = None
    max_retries: _Retries = 3
    knowledge_refs: References = ()
    incident_refs: References = ()
    tags: Tags = ()
    labels: Labels = Field(default_factory=dict)

    model_config = ConfigDict(
        json_schema_extra=example(
            name="Double the log volume",
            priority="high",
            due_at="2026-04-01T12:00:00Z",
            tags=["storage"],
        )
    )

    def to_message(self, origin: Origin) -> CreateTask:
        """The command that creates it."""
        return CreateTask(
            **origin,
            name=self.name,
            description=self.description,
            category=self.category,
            priority=self.priority,
            assignee=self.assignee,
            due_at=self.due_at,
            scheduled_at=self.scheduled_at,
            max_retries=self.max_retries,
            knowledge_refs=self.knowledge_refs,
            incident_refs=self.incident_refs,
            tags=self.tags,
            labels=self.labels,
        )


class TaskPatch(Strict):
    """Fields to change; what is absent stays. Null clears a time and leaves anything else."""

    name: Line | None = Field(default=None, max_length=200)
    description: Text | None = Field(default=None, max_length=20_000)
    category: Text | None = Field(default=None, max_length=64)
    priority: Priority | None = None
    due_at: Moment | None = None
    scheduled_at: Moment | None = None
    progress: Fraction | None = None
    max_retries: _Retries | None = None
    knowledge_refs: References | None = None
    incident_refs: References | None = None
    tags: Tags | None = None
    labels: Labels | None = None

    model_config = ConfigDict(json_schema_extra=example(progress=0.5, due_at=None))

    def to_message(self, origin: Origin, task_id: str, version: int) -> UpdateTask:
        """The command that changes it."""
        given = self.model_fields_set
        return UpdateTask(
            **origin,
            task_id=task_id,
            expected_version=version,
            name=self.name,
            description=self.description,
            category=self.category,
            priority=self.priority,
            due_at=self.due_at if "due_at" in given else UNSET,
            scheduled_at=self.scheduled_at if "scheduled_at" in given else UNSET,
            progress=self.progress,
            max_retries=self.max_retries,
            knowledge_refs=self.knowledge_refs,
            incident_refs=self.incident_refs,
            tags=self.tags,
            labels=self.labels,
        )


class TaskAssignIn(Strict):
    """Who does it; null: nobody."""

    assignee: Person | None

    model_config = ConfigDict(json_schema_extra=example(assignee="user_01k0000000000000000000000a"))


class CompleteIn(Strict):
    """How it went."""

    result: Text = Field(default="", max_length=20_000)

    model_config = ConfigDict(json_schema_extra=example(result="The volume has 200 GiB now."))


class FailIn(Strict):
    """Why it did not work out."""

    error: Words = Field(max_length=20_000)

    model_config = ConfigDict(json_schema_extra=example(error="The quota does not allow it."))


class HoldIn(Strict):
    """A hold on a task: ``ref`` is the incident that is the risk, or the reason in words."""

    kind: Literal[BlockerKind.RISK, BlockerKind.MANUAL]
    ref: Reference

    model_config = ConfigDict(json_schema_extra=example(kind="manual", ref="waits for the vendor"))

    def to_block(self, origin: Origin, task_id: str) -> BlockTask:
        """The command that holds it."""
        return BlockTask(**origin, task_id=task_id, kind=self.kind, ref=self.ref)

    def to_unblock(self, origin: Origin, task_id: str) -> UnblockTask:
        """The command that lets it go."""
        return UnblockTask(**origin, task_id=task_id, kind=self.kind, ref=self.ref)


class RelationIn(Strict):
    """A relation from the task in the address: *task* KIND *other*."""

    kind: RelationKind
    other_id: Reference

    model_config = ConfigDict(
        json_schema_extra=example(kind="precedes", other_id="task_01k0000000000000000000000a")
    )

    def to_message(self, origin: Origin, task_id: str) -> AddRelation:
        """The command that relates them."""
        return AddRelation(**origin, task_id=task_id, kind=self.kind, other_id=self.other_id)


class TaskFilter(Paging):
    """Which tasks are listed; nothing given: all."""

    status: list[TaskStatus] = Field(default_factory=list, max_length=10)
    assignee: Person | None = None
    incident_id: Reference | None = None

    def to_message(self, context: Context) -> ListTasks:
        """The question."""
        return ListTasks(
            context=context,
            statuses=frozenset(self.status),
            assignee=self.assignee,
            incident_id=self.incident_id,
            limit=self.limit,
            cursor=self.cursor,
        )


class BlockerView(View):
    """One thing that a task waits for."""

    kind: BlockerKind
    ref: str


class TaskView(View):
    """A task as it is."""

    task_id: str
    name: str
    description: str
    category: str
    status: TaskStatus
    priority: Priority
    origin: MadeBy
    ordinal: int
    assignee: str | None
    due_at: Shown | None
    scheduled_at: Shown | None
    started_at: Shown | None
    progress: float
    result: str
    error: str
    reason: str
    retry_count: int
    max_retries: int
    knowledge_refs: tuple[str, ...]
    incident_refs: tuple[str, ...]
    blocked_by: tuple[BlockerView, ...]
    tags: tuple[str, ...]
    labels: dict[str, str]
    correlation_id: str
    version: int
    created_at: Shown
    created_by: str
    updated_at: Shown
    updated_by: str


class TasksView(View):
    """A page of tasks, oldest first."""

    items: tuple[TaskView, ...] = Field(validation_alias="tasks")
    next_cursor: str | None


class RelationView(View):
    """*task_id* KIND *other_id*."""

    task_id: str
    kind: RelationKind
    other_id: str


class RelationsView(View):
    """All relations of one task."""

    task_id: str
    relations: tuple[RelationView, ...]
