"""What other sages' events make of tasks.

Every id is derived from the event, so that a second delivery names the same tasks. The steps of a
runbook keep their order by ``ordinal`` and do not wait for each other: at three in the morning a
person may skip a step or begin with the last, and a plan that has to be unlocked is in the way.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from actors.clock import derived_id
from actors.events import (
    DossierReady,
    Priority,
    ReviewAction,
    ReviewPublished,
    RunbookStep,
    StoredEvent,
)
from actors.task.domain.change import Change, created
from actors.task.domain.lifecycle import NAME_MAX, TEXT_MAX, cancelled
from actors.task.messages import Origin, Relation, RelationKind, Task, TaskId, TaskStatus

IDENTITY = "sage.task"
"""On whose behalf the sage acts when an event, and not a person, makes it act."""

_BY_SEVERITY = {"critical": Priority.CRITICAL, "high": Priority.HIGH}


def from_runbook(
    event: StoredEvent, dossier: DossierReady, existing: Sequence[Task], most: int, now: datetime
) -> Change:
    """One task per step of the dossier's runbook.

    None where the incident already has tasks of this runbook that were not cancelled: a dossier
    that is made again does not double the work.
    """
    runbook = dossier.runbook
    if runbook is None or any(_stands(task, runbook.source_id) for task in existing):
        return Change()
    tasks = [
        _task(
            event,
            ordinal,
            name=step.title,
            description=_step_text(step),
            priority=_priority(dossier.priority),
            origin=Origin.RUNBOOK,
            assignee=None,
            due_at=None,
            incident_id=dossier.incident_id,
            source_id=runbook.source_id,
            now=now,
        )
        for ordinal, step in enumerate(dossier.steps[:most], start=1)
    ]
    return _new(tasks)


def from_review(
    event: StoredEvent, review: ReviewPublished, existing: Sequence[Task], most: int, now: datetime
) -> Change:
    """One task per action of the review; a review published again adds what is new in it."""
    known = {task.name for task in existing if review.review_id in task.knowledge_refs}
    tasks = [
        _task(
            event,
            ordinal,
            name=action.title,
            description=_action_text(action, review),
            priority=_BY_SEVERITY.get(review.severity, Priority.NORMAL),
            origin=Origin.REVIEW,
            assignee=action.owner or None,
            due_at=action.due_at,
            incident_id=review.incident_id,
            source_id=review.review_id,
            now=now,
        )
        for ordinal, action in enumerate(review.actions[:most], start=1)
        if _clipped(action.title, NAME_MAX) not in known
    ]
    return _new(tasks)


def after_resolution(existing: Iterable[Task], now: datetime) -> Change:
    """Steps of a runbook that nobody began are given up: there is nothing left to repair."""
    never_begun = [
        task
        for task in existing
        if task.status in {TaskStatus.PENDING, TaskStatus.BLOCKED} and task.started_at is None
    ]
    changes = [cancelled(task, "incident resolved", now, IDENTITY) for task in never_begun]
    return Change(steps=tuple(step for change in changes for step in change.steps))


def _new(tasks: Sequence[Task]) -> Change:
    relations = [relation for task in tasks for relation in _relations(task)]
    return Change(steps=tuple(created(task) for task in tasks), added=tuple(relations))


def _relations(task: Task) -> list[Relation]:
    causes = [(RelationKind.CAUSED_BY_INCIDENT, ref) for ref in task.incident_refs]
    sources = [(RelationKind.DOCUMENTED_BY, ref) for ref in task.knowledge_refs]
    return [
        Relation(task_id=task.task_id, kind=kind, other_id=ref) for kind, ref in causes + sources
    ]


def _task(
    event: StoredEvent,
    ordinal: int,
    *,
    name: str,
    description: str,
    priority: Priority,
    origin: Origin,
    assignee: str | None,
    due_at: datetime | None,
    incident_id: str,
    source_id: str,
    now: datetime,
) -> Task:
    return Task(
        task_id=TaskId(derived_id("task", event.occurred_at, event.event_id, str(ordinal - 1))),
        name=_clipped(name, NAME_MAX) or f"Step {ordinal}",
        description=_clipped(description, TEXT_MAX),
        category="",
        status=TaskStatus.PENDING,
        priority=priority,
        origin=origin,
        ordinal=ordinal,
        assignee=assignee,
        due_at=due_at,
        scheduled_at=None,
        started_at=None,
        progress=0.0,
        result="",
        error="",
        reason="",
        retry_count=0,
        max_retries=3,
        knowledge_refs=(source_id,),
        incident_refs=(incident_id,),
        blocked_by=(),
        tags=(),
        labels={},
        correlation_id=event.correlation_id,
        version=1,
        created_at=now,
        created_by=IDENTITY,
        updated_at=now,
        updated_by=IDENTITY,
    )


def _stands(task: Task, source_id: str) -> bool:
    return source_id in task.knowledge_refs and task.status is not TaskStatus.CANCELLED


def _step_text(step: RunbookStep) -> str:
    """What the name had to leave out, then the step's own detail."""
    whole = step.title.strip() if len(step.title.strip()) > NAME_MAX else ""
    return "\n\n".join(part for part in (whole, step.detail) if part)


def _action_text(action: ReviewAction, review: ReviewPublished) -> str:
    whole = action.title.strip() if len(action.title.strip()) > NAME_MAX else ""
    return "\n\n".join(part for part in (whole, f"From the review: {review.title}") if part)


def _clipped(value: str, longest: int) -> str:
    stripped = value.strip()
    return stripped if len(stripped) <= longest else stripped[: longest - 1].rstrip() + "…"


def _priority(word: str) -> Priority:
    """An unknown word costs nobody the tasks."""
    try:
        return Priority(word)
    except ValueError:
        return Priority.NORMAL
