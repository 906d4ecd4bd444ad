"""The Task sage: load, decide, commit."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from actors import access, checks, clock
from actors.errors import NotFound, ValidationError
from actors.events import (
    DeliverEvent,
    DossierReady,
    IncidentResolved,
    ReviewPublished,
    StoredEvent,
)
from actors.runtime.message import Caller, Context, GuildId, Handlers
from actors.settings import TaskSettings
from actors.task.domain import deliveries, lifecycle, relations
from actors.task.domain.change import Change
from actors.task.messages import (
    AddRelation,
    AssignTask,
    BlockTask,
    CancelTask,
    CompleteTask,
    CreateTask,
    DeleteTask,
    FailTask,
    GetRelations,
    GetTask,
    ListTasks,
    Origin,
    Relation,
    Relations,
    RemoveRelation,
    RetryTask,
    StartTask,
    Task,
    TaskCommand,
    TaskId,
    TaskPage,
    UnblockTask,
    UpdateTask,
)
from actors.task.store import TaskFilter, TaskStore

CommandT = TypeVar("CommandT", bound=TaskCommand[Task])

_RUNBOOK = "task.runbook"
_UNDO_RUNBOOK = "task.runbook.undo"
"""Takes back what ``task.runbook/<event id>`` did; its own ids end in the same event's id."""


class TaskSage:
    """Keeps what is to be done. Holds no state between messages."""

    def __init__(
        self,
        store: TaskStore,
        settings: TaskSettings,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            CreateTask: self.create,
            UpdateTask: self.update,
            AssignTask: self.assign,
            StartTask: self.start,
            CompleteTask: self.complete,
            FailTask: self.fail,
            RetryTask: self.retry,
            CancelTask: self.cancel,
            BlockTask: self.block,
            UnblockTask: self.unblock,
            DeleteTask: self.delete,
            AddRelation: self.add_relation,
            RemoveRelation: self.remove_relation,
            GetTask: self.get,
            GetRelations: self.get_relations,
            ListTasks: self.page,
            DeliverEvent: self.deliver,
        }

    async def create(self, command: CreateTask) -> Task:
        """A new task, pending."""
        change = lifecycle.create(command, TaskId(self._new_id("task")), self._now())
        task = change.steps[0].task
        await self._store.commit(change, cause=command, reply=task)
        return task

    async def update(self, command: UpdateTask) -> Task:
        """Other fields."""
        return await self._change(command, lifecycle.update)

    async def assign(self, command: AssignTask) -> Task:
        """Somebody else does it."""
        return await self._change(command, lifecycle.assign)

    async def start(self, command: StartTask) -> Task:
        """Work begins."""
        return await self._change(command, lifecycle.start)

    async def complete(self, command: CompleteTask) -> Task:
        """Work ended well; the tasks that waited for it are freed in the same transaction."""
        guild_id = _guild(command.context)
        task = await self._task(guild_id, command.task_id)
        known = await self._store.relations(guild_id, [task.task_id])
        held = [one.other_id for one in known if one.kind in relations.HOLDING]
        waiting = await self._store.get(guild_id, held)
        change = lifecycle.complete(task, list(waiting.values()), command, self._now())
        return await self._commit(task, change, command)

    async def fail(self, command: FailTask) -> Task:
        """Work ended badly."""
        return await self._change(command, lifecycle.fail)

    async def retry(self, command: RetryTask) -> Task:
        """Once more."""
        return await self._change(command, lifecycle.retry)

    async def cancel(self, command: CancelTask) -> Task:
        """It is given up."""
        return await self._change(command, lifecycle.cancel)

    async def block(self, command: BlockTask) -> Task:
        """It has to wait."""
        return await self._change(command, lifecycle.block)

    async def unblock(self, command: UnblockTask) -> Task:
        """It need not wait for that any more."""
        return await self._change(command, lifecycle.unblock)

    async def delete(self, command: DeleteTask) -> None:
        """It is gone, with its relations."""
        guild_id = _guild(command.context)
        task = await self._task(guild_id, command.task_id)
        known = await self._store.relations(guild_id, [task.task_id])
        others = await self._store.get(guild_id, {one.other_id for one in known})
        change = relations.delete(task, others.values(), known, command, self._now())
        await self._store.commit(change, cause=command, reply=None)

    async def add_relation(self, command: AddRelation) -> Relation:
        """A relation, with its inverse where it leads to a task."""
        guild_id, most = _guild(command.context), self._settings.max_relations
        relation = Relation(
            task_id=command.task_id, kind=command.kind, other_id=_other(command.other_id)
        )
        command = replace(command, other_id=relation.other_id)
        if command.kind not in relations.INVERSE:
            task = await self._task(guild_id, command.task_id)
            known = await self._store.relations(guild_id, [task.task_id])
            change = relations.refer(task, command, known, most, self._now())
        else:
            pair = await self._pair(guild_id, command)
            known = await self._store.relations(guild_id, {task.task_id for task in pair})
            plan = await self._plan(guild_id, relation)
            change = relations.relate(pair, command, known, plan, most, self._now())
        if change:
            await self._store.commit(change, cause=command, reply=relation)
        return relation

    async def remove_relation(self, command: RemoveRelation) -> None:
        """A relation gone, with its inverse."""
        guild_id = _guild(command.context)
        command = replace(command, other_id=_other(command.other_id))
        known = await self._store.relations(guild_id, [command.task_id])
        if command.kind in relations.INVERSE:
            task, other = await self._pair(guild_id, command)
        else:
            task, other = await self._task(guild_id, command.task_id), None
        change = relations.unrelate((task, other), command, known, self._now())
        await self._store.commit(change, cause=command, reply=None)

    async def get(self, query: GetTask) -> Task:
        """One task. All are protected: there are none for a guest."""
        return await self._open(query.context, query.task_id)

    async def get_relations(self, query: GetRelations) -> Relations:
        """Its relations, sorted."""
        guild_id = _guild(query.context)
        task = await self._open(query.context, query.task_id)
        known = await self._store.relations(guild_id, [task.task_id])
        ordered = sorted(known, key=lambda relation: (relation.kind, relation.other_id))
        return Relations(task_id=task.task_id, relations=tuple(ordered))

    async def page(self, query: ListTasks) -> TaskPage:
        """A page of tasks."""
        wanted = TaskFilter(
            statuses=query.statuses,
            assignee=checks.sought("assignee", query.assignee),
            incident_id=checks.sought("incident_id", query.incident_id),
        )
        limit = checks.page_size(query.limit)
        if access.is_guest(query.context.caller):
            return TaskPage(tasks=(), next_cursor=None)
        return await self._store.page(_guild(query.context), wanted, limit, query.cursor)

    async def deliver(self, command: DeliverEvent) -> None:
        """What another sage's event means for tasks; under this sage's own identity."""
        event, most, now = command.event, self._settings.max_tasks_per_event, self._now()
        match event.payload:
            case DossierReady() | IncidentResolved() if command.subscription == _UNDO_RUNBOOK:
                change = await self._taken_back(command, event.payload.incident_id, now)
            case DossierReady() as dossier:
                made = await self._made(event, dossier.incident_id, Origin.RUNBOOK)
                change = deliveries.from_runbook(event, dossier, made, most, now)
            case ReviewPublished() as review:
                made = await self._made(event, review.incident_id, Origin.REVIEW)
                change = deliveries.from_review(event, review, made, most, now)
            case IncidentResolved() as resolved:
                made = await self._made(event, resolved.incident_id, Origin.RUNBOOK)
                change = deliveries.after_resolution(made, now)
            case _:
                raise LookupError(f"{command.subscription} delivers {event.type}")
        if change:
            cause = replace(command, context=_own(event))
            await self._store.commit(change, cause=cause, reply=None)

    async def _taken_back(self, command: DeliverEvent, incident_id: str, now: datetime) -> Change:
        """What is left of the runbook's tasks; if there are none yet, none will come of it."""
        event, dossier = command.event, command.command_id.removeprefix(f"{_UNDO_RUNBOOK}/")
        if await self._store.forestall(event.guild_id, f"{_RUNBOOK}/{dossier}"):
            return Change()
        made = await self._made(event, incident_id, Origin.RUNBOOK)
        return deliveries.after_resolution(made, now)

    async def _change(
        self, command: CommandT, decide: Callable[[Task, CommandT, datetime], Change]
    ) -> Task:
        task = await self._task(_guild(command.context), command.task_id)
        return await self._commit(task, decide(task, command, self._now()), command)

    async def _commit(self, task: Task, change: Change, command: TaskCommand[Task]) -> Task:
        after = change.of(task)
        if change:
            await self._store.commit(change, cause=command, reply=after)
        return after

    async def _open(self, context: Context, task_id: str) -> Task:
        if access.is_guest(context.caller):
            raise NotFound("task", task_id)
        return await self._task(_guild(context), task_id)

    async def _task(self, guild_id: GuildId, task_id: str) -> Task:
        found = (await self._store.get(guild_id, [task_id])).get(task_id)
        if found is None:
            raise NotFound("task", task_id)
        return found

    async def _pair(
        self, guild_id: GuildId, command: AddRelation | RemoveRelation
    ) -> tuple[Task, Task]:
        if command.task_id == command.other_id:
            raise ValidationError("other_id", "is the task itself")
        found = await self._store.get(guild_id, [command.task_id, command.other_id])
        for task_id in (command.task_id, command.other_id):
            if task_id not in found:
                raise NotFound("task", task_id)
        return found[command.task_id], found[command.other_id]

    async def _plan(self, guild_id: GuildId, relation: Relation) -> relations.Plan | None:
        kinds = relations.family(relation.kind)
        if not kinds:
            return None
        start = relations.forward(relation).other_id
        return await self._store.plan(guild_id, start, kinds, self._settings.max_order_edges)

    async def _made(self, event: StoredEvent, incident_id: str, origin: Origin) -> list[Task]:
        return list(await self._store.of_incident(event.guild_id, incident_id, origin))


def _guild(context: Context) -> GuildId:
    return context.caller.guild_id


def _other(other_id: str) -> str:
    return checks.text("other_id", other_id, lifecycle.WORD_MAX, required=True)


def _own(event: StoredEvent) -> Context:
    """Work that an event causes is the sage's own, and goes on under the event's correlation."""
    return Context(
        caller=Caller(guild_id=event.guild_id, principal_id=deliveries.IDENTITY),
        correlation_id=event.correlation_id,
        causation_id=event.event_id,
    )
