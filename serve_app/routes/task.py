"""Tasks, their states and their relations."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors.errors import NotFound
from actors.runtime.message import Command
from actors.task.messages import (
    AssignTask,
    CancelTask,
    CompleteTask,
    DeleteTask,
    FailTask,
    GetRelations,
    GetTask,
    RelationKind,
    RemoveRelation,
    RetryTask,
    StartTask,
    Task,
)
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import TaskPath
from serve_app.route import new_router
from serve_app.schemas.common import Reason
from serve_app.schemas.task import (
    CompleteIn,
    FailIn,
    HoldIn,
    RelationIn,
    RelationsView,
    RelationView,
    TaskAssignIn,
    TaskFilter,
    TaskIn,
    TaskPatch,
    TasksView,
    TaskView,
)

router = new_router()
_ALL = f"{API}/tasks"
_ONE = f"{API}/tasks/{{task_id}}"
_MAX_REFERENCE = 256


async def _change(call: Call, command: Command[Task], status: int = 200) -> Response:
    """Sends a command that answers the task."""
    outcome = await call.tell("task", command)
    task = outcome.unwrap()
    return call.reply(
        TaskView.model_validate(task),
        status=status,
        version=task.version,
        position=outcome.position,
        headers={"Location": f"{_ALL}/{task.task_id}"} if status == 201 else None,
    )


@router.get(_ALL, response_model=TasksView)
async def list_tasks(call: Current, which: Annotated[TaskFilter, Query()]) -> Response:
    """Lists tasks, oldest first; those of one runbook in its order."""
    page = await call.ask("task", which.to_message(call.context))
    return call.page(TasksView.model_validate(page), _ALL, page.next_cursor)


@router.post(_ALL, response_model=TaskView, status_code=201)
async def create_task(call: Current, body: TaskIn) -> Response:
    """Makes a pending task."""
    return await _change(call, body.to_message(call.origin), 201)


@router.get(_ONE, response_model=TaskView)
async def get_task(call: Current, task_id: TaskPath) -> Response:
    """Reads a task."""
    task = await call.ask("task", GetTask(context=call.context, task_id=task_id))
    return call.reply(TaskView.model_validate(task), version=task.version)


@router.patch(_ONE, response_model=TaskView)
async def update_task(call: Current, task_id: TaskPath, body: TaskPatch) -> Response:
    """Changes fields of a task."""
    return await _change(call, body.to_message(call.origin, task_id, call.version))


@router.delete(_ONE, status_code=204)
async def delete_task(call: Current, task_id: TaskPath) -> Response:
    """Takes a task out of every list and search."""
    command = DeleteTask(**call.origin, task_id=task_id, expected_version=call.version)
    outcome = await call.tell("task", command)
    return call.empty(outcome.position)


@router.post(_ONE + ":assign", response_model=TaskView)
async def assign_task(call: Current, task_id: TaskPath, body: TaskAssignIn) -> Response:
    """Says who does it."""
    return await _change(call, AssignTask(**call.origin, task_id=task_id, assignee=body.assignee))


@router.post(_ONE + ":start", response_model=TaskView)
async def start_task(call: Current, task_id: TaskPath) -> Response:
    """Begins the work."""
    return await _change(call, StartTask(**call.origin, task_id=task_id))


@router.post(_ONE + ":complete", response_model=TaskView)
async def complete_task(call: Current, task_id: TaskPath, body: CompleteIn) -> Response:
    """Ends the work well."""
    return await _change(call, CompleteTask(**call.origin, task_id=task_id, result=body.result))


@router.post(_ONE + ":fail", response_model=TaskView)
async def fail_task(call: Current, task_id: TaskPath, body: FailIn) -> Response:
    """Ends the work badly."""
    return await _change(call, FailTask(**call.origin, task_id=task_id, error=body.error))


@router.post(_ONE + ":retry", response_model=TaskView)
async def retry_task(call: Current, task_id: TaskPath) -> Response:
    """Makes a failed task pending again."""
    return await _change(call, RetryTask(**call.origin, task_id=task_id))


@router.post(_ONE + ":cancel", response_model=TaskView)
async def cancel_task(call: Current, task_id: TaskPath, body: Reason) -> Response:
    """Gives it up."""
    return await _change(call, CancelTask(**call.origin, task_id=task_id, reason=body.reason))


@router.post(_ONE + ":block", response_model=TaskView)
async def block_task(call: Current, task_id: TaskPath, body: HoldIn) -> Response:
    """Holds a task, for a risk or by hand."""
    return await _change(call, body.to_block(call.origin, task_id))


@router.post(_ONE + ":unblock", response_model=TaskView)
async def unblock_task(call: Current, task_id: TaskPath, body: HoldIn) -> Response:
    """Takes such a hold away."""
    return await _change(call, body.to_unblock(call.origin, task_id))


@router.get(_ONE + "/relations", response_model=RelationsView)
async def get_relations(call: Current, task_id: TaskPath) -> Response:
    """Lists what a task is related to."""
    relations = await call.ask("task", GetRelations(context=call.context, task_id=task_id))
    return call.reply(RelationsView.model_validate(relations))


@router.post(_ONE + "/relations", response_model=RelationView, status_code=201)
async def add_relation(call: Current, task_id: TaskPath, body: RelationIn) -> Response:
    """Relates two tasks both ways, or a task to an incident or a document."""
    outcome = await call.tell("task", body.to_message(call.origin, task_id))
    view = RelationView.model_validate(outcome.unwrap())
    return call.reply(view, status=201, position=outcome.position)


@router.delete(_ONE + "/relations/{kind}/{other_id}", status_code=204)
async def remove_relation(
    call: Current, task_id: TaskPath, kind: RelationKind, other_id: str
) -> Response:
    """Takes a relation and its inverse away."""
    if len(other_id) > _MAX_REFERENCE:
        raise NotFound("relation", "")
    command = RemoveRelation(**call.origin, task_id=task_id, kind=kind, other_id=other_id)
    outcome = await call.tell("task", command)
    return call.empty(outcome.position)
