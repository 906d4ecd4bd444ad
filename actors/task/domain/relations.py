"""How tasks hang together, and what must wait.

Every relation between two tasks is there twice, once from each side, and both tasks change with
it. Two families may form no ring: the order of work, and the tree of subtasks.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from actors.errors import Cycle, NotFound, ValidationError
from actors.events import TaskDeleted, TaskUpdated
from actors.task.domain.change import NOTHING, Change, Step, step, waiting_for, without
from actors.task.domain.lifecycle import at_version, owner
from actors.task.messages import (
    AddRelation,
    Blocker,
    BlockerKind,
    DeleteTask,
    Relation,
    RelationKind,
    RemoveRelation,
    Task,
    TaskStatus,
)

_PAIRS = (
    (RelationKind.PARENT, RelationKind.SUBTASK),
    (RelationKind.DUPLICATES, RelationKind.DUPLICATE_OF),
    (RelationKind.BLOCKING, RelationKind.BLOCKED),
    (RelationKind.PRECEDES, RelationKind.FOLLOWS),
    (RelationKind.COPIED_TO, RelationKind.COPIED_FROM),
    (RelationKind.RELATED, RelationKind.RELATED),
)
INVERSE: Mapping[RelationKind, RelationKind] = MappingProxyType(
    {kind: other for pair in _PAIRS for kind, other in (pair, pair[::-1])}
)
"""The eleven kinds between two tasks."""

HOLDING = frozenset({RelationKind.BLOCKING, RelationKind.PRECEDES})
"""The other task waits until this one is completed."""

_TREE = frozenset({RelationKind.PARENT})
_REFERENCES = {
    RelationKind.CAUSED_BY_INCIDENT: "incident_refs",
    RelationKind.DOCUMENTED_BY: "knowledge_refs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What can be reached from one task along one family of relations.

    Attributes:
        version: of the guild's plan; it rises with every relation that could close a ring.
        edges: pairs of task ids, from the one before to the one after.
        complete: False where there were more edges than may be followed.
    """

    version: int
    edges: tuple[tuple[str, str], ...]
    complete: bool = True


def forward(relation: Relation) -> Relation:
    """The relation from the side that comes first: of *A follows B*, *B precedes A*."""
    first = {kind for kind, _ in _PAIRS}
    return relation if relation.kind in first | _REFERENCES.keys() else inverse(relation)


def inverse(relation: Relation) -> Relation:
    """The same relation, seen from the other task."""
    return Relation(
        task_id=relation.other_id, kind=INVERSE[relation.kind], other_id=relation.task_id
    )


def family(kind: RelationKind) -> frozenset[RelationKind]:
    """The forward kinds that may form no ring together with ``kind``; empty: no such rule."""
    kinds = {kind, INVERSE.get(kind, kind)}
    return next((group for group in (HOLDING, _TREE) if group & kinds), frozenset())


def refer(
    task: Task, command: AddRelation, existing: Sequence[Relation], most: int, now: datetime
) -> Change:
    """A relation of a task to an incident or a document; the task's references show it, too."""
    by = owner(task, command.context.caller).principal_id
    relation = _wanted(command)
    if relation in existing:
        return NOTHING
    _room(existing, task.task_id, most)
    field = _REFERENCES[command.kind]
    refs = tuple(dict.fromkeys((*getattr(task, field), command.other_id)))
    changed = step(task, TaskUpdated, now, by, **{field: refs})
    return Change(steps=(changed,), added=(relation,))


def relate(
    pair: tuple[Task, Task],
    command: AddRelation,
    existing: Sequence[Relation],
    plan: Plan | None,
    most: int,
    now: datetime,
) -> Change:
    """A relation between two tasks, with its inverse.

    Args:
        pair: the command's task, and the other one.
        command: what is wanted.
        existing: the relations of both tasks.
        plan: what can be reached from the later of the two; None for kinds that may form rings.
        most: relations that one task may have.
        now: clock.

    Raises:
        Cycle: it would close a ring.
    """
    task, other = pair
    by = owner(task, command.context.caller).principal_id
    relation = _wanted(command)
    if relation in existing:
        return NOTHING
    for each in pair:
        _room(existing, each.task_id, most)
    first = forward(relation)
    if plan is not None:
        _no_ring(first, plan)
    holder, held = (task, other) if first is relation else (other, task)
    if first.kind in HOLDING and _can_hold(holder, held):
        blocker = Blocker(kind=BlockerKind.DEPENDENCY, ref=holder.task_id)
        blockers = dict.fromkeys((*held.blocked_by, blocker))
        later = waiting_for(held, tuple(blockers), now, by)
    else:
        later = step(held, TaskUpdated, now, by)
    return Change(
        steps=(step(holder, TaskUpdated, now, by), later),
        added=(relation, inverse(relation)),
        plan_version=None if plan is None else plan.version,
    )


def unrelate(
    pair: tuple[Task, Task | None],
    command: RemoveRelation,
    existing: Sequence[Relation],
    now: datetime,
) -> Change:
    """A relation taken away, with its inverse; what waited because of it waits no longer.

    Args:
        pair: the command's task, and the other one where the relation leads to a task.
        command: what is wanted.
        existing: the relations of the command's task.
        now: clock.

    Raises:
        NotFound: there is no such relation.
    """
    task, other = pair
    by = owner(task, command.context.caller).principal_id
    relation = _wanted(command)
    if relation not in existing:
        raise NotFound("relation", command.other_id)
    if other is None:
        field = _REFERENCES[command.kind]
        refs = tuple(ref for ref in getattr(task, field) if ref != command.other_id)
        changed = step(task, TaskUpdated, now, by, **{field: refs})
        return Change(steps=(changed,), removed=(relation,))
    first = forward(relation)
    holder, held = (task, other) if first is relation else (other, task)
    left = [forward(one) for one in existing if one != relation]
    still = any(one.kind in HOLDING and _between(one, holder, held) for one in left)
    blockers = held.blocked_by if still else without(held, holder.task_id)
    return Change(
        steps=(step(holder, TaskUpdated, now, by), waiting_for(held, blockers, now, by)),
        removed=(relation, inverse(relation)),
    )


def delete(
    task: Task,
    others: Iterable[Task],
    existing: Sequence[Relation],
    command: DeleteTask,
    now: datetime,
) -> Change:
    """The task gone, with its relations; ``others``, the tasks related to it, change with it."""
    by = owner(task, command.context.caller).principal_id
    at_version(task, command.expected_version)
    gone = step(task, TaskUpdated, now, by)
    last = Step(task=gone.task, event=TaskDeleted(task_id=task.task_id), deleted=True)
    left = (waiting_for(other, without(other, task.task_id), now, by) for other in others)
    both_sides = [side for one in existing for side in _sides(one)]
    return Change(steps=(last, *left), removed=tuple(both_sides))


def _wanted(command: AddRelation | RemoveRelation) -> Relation:
    return Relation(task_id=command.task_id, kind=command.kind, other_id=command.other_id)


def _sides(relation: Relation) -> tuple[Relation, ...]:
    return (relation, inverse(relation)) if relation.kind in INVERSE else (relation,)


def _between(relation: Relation, first: Task, second: Task) -> bool:
    return (relation.task_id, relation.other_id) == (first.task_id, second.task_id)


def _can_hold(holder: Task, held: Task) -> bool:
    final = {TaskStatus.COMPLETED, TaskStatus.CANCELLED}
    return holder.status is not TaskStatus.COMPLETED and held.status not in final


def _room(existing: Sequence[Relation], task_id: str, most: int) -> None:
    if sum(relation.task_id == task_id for relation in existing) >= most:
        raise ValidationError("relations", f"of one task are more than {most}")


def _no_ring(relation: Relation, plan: Plan) -> None:
    """Whether the earlier task can be reached from the later one, by the shortest way."""
    if not plan.complete:
        raise ValidationError("relations", "lead to more tasks than can be followed")
    following: dict[str, list[str]] = {}
    for before, after in plan.edges:
        following.setdefault(before, []).append(after)
    came_from: dict[str, str | None] = {relation.other_id: None}
    queue = deque([relation.other_id])
    while queue:
        current = queue.popleft()
        if current == relation.task_id:
            raise Cycle(_ring(current, came_from))
        for after in following.get(current, ()):
            if after not in came_from:
                came_from[after] = current
                queue.append(after)


def _ring(last: str, came_from: Mapping[str, str | None]) -> tuple[str, ...]:
    way = [last]
    while (before := came_from[way[-1]]) is not None:
        way.append(before)
    return (way[0], *reversed(way[1:]))
