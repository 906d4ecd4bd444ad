"""Whatever is asked of tasks in whatever order, these hold."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from hypothesis.strategies import sampled_from

from actors.errors import Cycle, InvalidTransition, NotFound, ValidationError
from actors.runtime.message import Message
from actors.settings import TaskSettings
from actors.task.domain.relations import HOLDING, INVERSE, inverse
from actors.task.messages import (
    AddRelation,
    AssignTask,
    BlockerKind,
    BlockTask,
    CancelTask,
    CompleteTask,
    CreateTask,
    DeleteTask,
    FailTask,
    RelationKind,
    RemoveRelation,
    RetryTask,
    StartTask,
    Task,
    TaskStatus,
    UnblockTask,
)
from actors.task.sage import TaskSage
from tests.fixtures.task_builders import GUILD, NOON, context, number
from tests.fixtures.task_memory import MemoryTaskStore

ReplyT = TypeVar("ReplyT")

ALLOWED = {
    TaskStatus.PENDING: {TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED, TaskStatus.CANCELLED},
    TaskStatus.BLOCKED: {TaskStatus.PENDING, TaskStatus.CANCELLED},
    TaskStatus.IN_PROGRESS: {
        TaskStatus.BLOCKED,
        TaskStatus.COMPLETED,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
    },
    TaskStatus.FAILED: {TaskStatus.PENDING, TaskStatus.BLOCKED, TaskStatus.CANCELLED},
    TaskStatus.COMPLETED: set(),
    TaskStatus.CANCELLED: set(),
}
ONE_TASK = [StartTask, CompleteTask, FailTask, RetryTask, CancelTask, AssignTask]
TEXTS: dict[type[Message[Any]], dict[str, str]] = {
    FailTask: {"error": "no space"},
    CancelTask: {"reason": "obsolete"},
    AssignTask: {"assignee": "user_ops"},
}


class Tasks(RuleBasedStateMachine):
    """Drives the sage through its messages and watches what it keeps."""

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryTaskStore()
        self.handlers = TaskSage(self.store, TaskSettings(), now=lambda: NOON).handlers()
        self.loop = asyncio.new_event_loop()
        self.seen: dict[str, Task] = {}
        self.ids: list[str] = []

    def teardown(self) -> None:
        self.loop.close()

    def run(self, work: Awaitable[ReplyT]) -> ReplyT:
        return self.loop.run_until_complete(work)

    def attempt(self, message: Message[Any]) -> None:
        """Refusals are fine; what must not happen is checked after every step."""
        try:
            self.run(self.handlers[type(message)](message))
        except (InvalidTransition, ValidationError, NotFound, Cycle):
            return

    @rule(target=tasks)
    def create(self) -> str:
        command = CreateTask(context=context(), command_id=f"key-{number()}", name="Something")
        task_id: str = self.run(self.handlers[CreateTask](command)).task_id
        self.ids.append(task_id)
        return task_id

    @rule(task_id=tasks, kind=sampled_from(ONE_TASK))
    def step(self, task_id: str, kind: type[Any]) -> None:
        fields = TEXTS.get(kind, {})
        self.attempt(
            kind(context=context(), command_id=f"key-{number()}", task_id=task_id, **fields)
        )

    @rule(task_id=tasks, kind=sampled_from([BlockTask, UnblockTask]))
    def hold(self, task_id: str, kind: type[Any]) -> None:
        fields = {"kind": BlockerKind.MANUAL, "ref": "change freeze"}
        self.attempt(
            kind(context=context(), command_id=f"key-{number()}", task_id=task_id, **fields)
        )

    @rule(one=tasks, other=tasks, kind=sampled_from(sorted(INVERSE)))
    def relate(self, one: str, other: str, kind: RelationKind) -> None:
        self.attempt(
            AddRelation(
                context=context(),
                command_id=f"key-{number()}",
                task_id=one,
                kind=kind,
                other_id=other,
            )
        )

    @rule(one=tasks, other=tasks, kind=sampled_from(sorted(INVERSE)))
    def unrelate(self, one: str, other: str, kind: RelationKind) -> None:
        self.attempt(
            RemoveRelation(
                context=context(),
                command_id=f"key-{number()}",
                task_id=one,
                kind=kind,
                other_id=other,
            )
        )

    @rule(task_id=consumes(tasks))
    def delete(self, task_id: str) -> None:
        self.attempt(DeleteTask(context=context(), command_id=f"key-{number()}", task_id=task_id))

    @invariant()
    def all_is_well(self) -> None:
        self.no_task_took_a_forbidden_step()
        self.blocked_follows_from_what_a_task_waits_for()
        self.an_unfinished_task_waits_for_exactly_its_unfinished_predecessors()
        self.every_relation_has_its_inverse_and_no_dead_end()
        self.neither_the_order_nor_the_tree_has_a_ring()

    def no_task_took_a_forbidden_step(self) -> None:
        current = self.run(self.store.get(GUILD, self.ids))
        for task_id, task in current.items():
            before = self.seen.get(task_id, task)
            assert task.status is before.status or task.status in ALLOWED[before.status]
            assert task.version >= before.version
            assert task == before or task.version > before.version
        self.seen = current

    def blocked_follows_from_what_a_task_waits_for(self) -> None:
        for task in self.seen.values():
            match task.status:
                case TaskStatus.PENDING | TaskStatus.IN_PROGRESS:
                    assert task.blocked_by == ()
                case TaskStatus.BLOCKED:
                    assert task.blocked_by != ()
                case _:
                    pass

    def an_unfinished_task_waits_for_exactly_its_unfinished_predecessors(self) -> None:
        relations = self.run(self.store.relations(GUILD, self.ids))
        for task in self.seen.values():
            if task.status in {TaskStatus.COMPLETED, TaskStatus.CANCELLED}:
                continue
            holders = {
                one.task_id
                for one in relations
                if one.kind in HOLDING
                and one.other_id == task.task_id
                and self.seen[one.task_id].status is not TaskStatus.COMPLETED
            }
            waits_for = {
                blocker.ref for blocker in task.blocked_by if blocker.kind is BlockerKind.DEPENDENCY
            }
            assert waits_for == holders

    def every_relation_has_its_inverse_and_no_dead_end(self) -> None:
        relations = set(self.run(self.store.relations(GUILD, self.ids)))
        for one in relations:
            assert inverse(one) in relations
            assert one.other_id in self.seen

    def neither_the_order_nor_the_tree_has_a_ring(self) -> None:
        relations = self.run(self.store.relations(GUILD, self.ids))
        for family in (HOLDING, {RelationKind.PARENT}):
            edges = {(one.task_id, one.other_id) for one in relations if one.kind in family}
            while edges:  # take away whatever nothing leads to, until nothing is left
                inner = {edge for edge in edges if edge[0] in {after for _, after in edges}}
                assert len(inner) < len(edges), "a ring"
                edges = inner


Tasks.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTasks = Tasks.TestCase
