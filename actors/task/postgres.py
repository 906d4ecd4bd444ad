"""Tasks in PostgreSQL.

Rows travel as JSON, one parameter for any number of tasks: a runbook's tasks are one statement.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from actors import paging
from actors.errors import VersionConflict
from actors.runtime.message import Command, GuildId
from actors.storage import inbox, outbox
from actors.storage.database import Database, Transaction
from actors.task.domain.change import Change, Step
from actors.task.domain.relations import Plan
from actors.task.messages import Origin, Relation, RelationKind, Task, TaskPage, TaskStatus
from actors.task.store import TaskFilter

_MAX_OF_INCIDENT = 1000
_UNFINISHED = frozenset(
    {TaskStatus.PENDING, TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED, TaskStatus.FAILED}
)
_COLUMNS = tuple(Task.__dataclass_fields__)
_task = TypeAdapter(Task)
_tasks = TypeAdapter(list[Task])

_INSERT = f"""
INSERT INTO tasks (guild_id, {", ".join(_COLUMNS)})
SELECT $1, {", ".join(_COLUMNS)} FROM jsonb_populate_recordset(NULL::tasks, $2::jsonb)
ON CONFLICT DO NOTHING
"""  # noqa: S608  # names of our own fields
_UPDATE = f"""
UPDATE tasks SET {", ".join(f"{name} = new.{name}" for name in _COLUMNS)}, deleted_at = $3
FROM jsonb_populate_recordset(NULL::tasks, $2::jsonb) AS new
WHERE tasks.guild_id = $1 AND tasks.task_id = new.task_id AND tasks.deleted_at IS NULL
  AND tasks.version = new.version - 1
"""  # noqa: S608
_REFER = """
INSERT INTO task_incidents (guild_id, incident_id, task_id)
SELECT guild_id, unnest(incident_refs), task_id FROM tasks
WHERE guild_id = $1 AND task_id = ANY($2::text[])
"""
_RELATE = """
INSERT INTO task_relations (guild_id, task_id, kind, other_id)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])
ON CONFLICT DO NOTHING
"""
_UNRELATE = """
DELETE FROM task_relations USING unnest($2::text[], $3::text[], $4::text[])
    AS gone(task_id, kind, other_id)
WHERE guild_id = $1 AND task_relations.task_id = gone.task_id
  AND task_relations.kind = gone.kind AND task_relations.other_id = gone.other_id
"""
_MOVE_PLAN = """
INSERT INTO task_plans AS plan (guild_id, version) VALUES ($1, $2 + 1)
ON CONFLICT (guild_id) DO UPDATE SET version = plan.version + 1 WHERE plan.version = $2
"""
_REACHED = """
WITH RECURSIVE reached (task_id, other_id) AS (
    SELECT task_id, other_id FROM task_relations
    WHERE guild_id = $1 AND task_id = $2 AND kind = ANY($3::text[])
    UNION
    SELECT next.task_id, next.other_id FROM reached
    JOIN task_relations AS next ON next.guild_id = $1 AND next.task_id = reached.other_id
        AND next.kind = ANY($3::text[])
)
SELECT task_id, other_id FROM reached LIMIT $4
"""


class PostgresTaskStore:
    """The `TaskStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, guild_id: GuildId, ids: Collection[str]) -> dict[str, Task]:
        """By primary key."""
        if not ids:
            return {}
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                "SELECT to_jsonb(tasks) AS task FROM tasks"
                " WHERE guild_id = $1 AND task_id = ANY($2::text[]) AND deleted_at IS NULL",
                guild_id,
                list(ids),
            )
        return {task.task_id: task for task in map(_read, rows)}

    async def relations(self, guild_id: GuildId, ids: Collection[str]) -> Sequence[Relation]:
        """By the first columns of the primary key."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                "SELECT task_id, kind, other_id FROM task_relations"
                " WHERE guild_id = $1 AND task_id = ANY($2::text[])",
                guild_id,
                list(ids),
            )
        return [
            Relation(
                task_id=row["task_id"], kind=RelationKind(row["kind"]), other_id=row["other_id"]
            )
            for row in rows
        ]

    async def plan(
        self, guild_id: GuildId, start: str, kinds: Collection[RelationKind], most: int
    ) -> Plan:
        """One snapshot: the version belongs to exactly these edges."""
        async with self._database.read(guild_id) as tx:
            version = await tx.fetchval(
                "SELECT version FROM task_plans WHERE guild_id = $1", guild_id
            )
            rows = await tx.fetch(_REACHED, guild_id, start, sorted(kinds), most + 1)
        return Plan(
            version=version or 0,
            edges=tuple((row["task_id"], row["other_id"]) for row in rows[:most]),
            complete=len(rows) <= most,
        )

    async def page(
        self, guild_id: GuildId, wanted: TaskFilter, limit: int, cursor: str | None
    ) -> TaskPage:
        """Keyset paging along the index that fits what is asked."""
        query, args = _page_query(guild_id, wanted, cursor)
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(f"{query} LIMIT ${len(args) + 1}", *args, limit + 1)
        tasks = tuple(map(_read, rows[:limit]))
        return TaskPage(tasks=tasks, next_cursor=_cursor(tasks[-1]) if len(rows) > limit else None)

    async def of_incident(
        self, guild_id: GuildId, incident_id: str, origin: Origin
    ) -> Sequence[Task]:
        """Through ``task_incidents``."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                "SELECT to_jsonb(tasks) AS task FROM task_incidents"
                " JOIN tasks USING (guild_id, task_id)"
                " WHERE guild_id = $1 AND incident_id = $2 AND origin = $3"
                " AND deleted_at IS NULL ORDER BY created_at, ordinal, task_id LIMIT $4",
                guild_id,
                incident_id,
                origin.value,
                _MAX_OF_INCIDENT,
            )
        return [_read(row) for row in rows]

    async def commit(self, change: Change, *, cause: Command[Any], reply: object) -> None:
        """Everything in one transaction; the plan first, where it waits for nothing else."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            if change.plan_version is not None:
                moved = await tx.execute(_MOVE_PLAN, guild_id, change.plan_version)
                if moved != "INSERT 0 1":
                    raise VersionConflict("plan", guild_id)
            await _write_tasks(tx, guild_id, change, cause)
            if change.removed:
                await tx.execute(_UNRELATE, guild_id, *_unzipped(change.removed))
            if change.added:
                await tx.execute(_RELATE, guild_id, *_unzipped(change.added))
            for step in change.steps:
                await outbox.append(
                    tx,
                    cause=cause,
                    aggregate_id=step.task.task_id,
                    version_before=step.task.version - 1,
                    payloads=(step.event,),
                    correlation_id=step.task.correlation_id,
                    priority=step.task.priority,
                )
            await inbox.record(tx, cause, reply)

    async def forestall(self, guild_id: GuildId, command_id: str) -> bool:
        """A transaction of its own: what is read afterwards has seen the command, or never will."""
        async with self._database.transaction(guild_id) as tx:
            return await inbox.forestall(tx, guild_id, command_id)


async def _write_tasks(
    tx: Transaction, guild_id: GuildId, change: Change, cause: Command[Any]
) -> None:
    new = [step for step in change.steps if step.task.version == 1]
    kept = [step for step in change.steps if step.task.version > 1 and not step.deleted]
    gone = [step for step in change.steps if step.deleted]
    if new:
        await _write(tx, _INSERT, "INSERT 0", new, guild_id)
    if kept:
        await _write(tx, _UPDATE, "UPDATE", kept, guild_id, None)
    for step in gone:
        await _write(tx, _UPDATE, "UPDATE", [step], guild_id, step.task.updated_at)
    ids = [step.task.task_id for step in (*kept, *gone)]
    if ids:
        await tx.execute(
            "DELETE FROM task_incidents WHERE guild_id = $1 AND task_id = ANY($2::text[])",
            guild_id,
            ids,
        )
    referring = [step.task.task_id for step in (*new, *kept) if step.task.incident_refs]
    if referring:
        await tx.execute(_REFER, guild_id, referring)


async def _write(
    tx: Transaction,
    statement: str,
    word: str,
    steps: Sequence[Step],
    guild_id: GuildId,
    *deleted_at: datetime | None,
) -> None:
    rows = _tasks.dump_json([step.task for step in steps]).decode()
    status = await tx.execute(statement, guild_id, rows, *deleted_at)
    if status != f"{word} {len(steps)}":
        raise VersionConflict("task", steps[0].task.task_id)


def _page_query(guild_id: GuildId, wanted: TaskFilter, cursor: str | None) -> tuple[str, list[Any]]:
    conditions = ["guild_id = $1", "deleted_at IS NULL"]
    args: list[Any] = [guild_id]

    def where(condition: str, *values: Any) -> None:
        numbers = [f"${len(args) + 1 + index}" for index in range(len(values))]
        conditions.append(condition.format(*numbers))
        args.extend(values)

    if wanted.statuses:
        where("status = ANY({}::text[])", sorted(wanted.statuses))
        if wanted.statuses <= _UNFINISHED:  # lets the partial index be used
            conditions.append("status IN ('pending', 'in_progress', 'blocked', 'failed')")
    if wanted.assignee is not None:
        where("assignee = {}", wanted.assignee)
    if wanted.incident_id is not None:
        where(
            "task_id IN (SELECT task_id FROM task_incidents"
            " WHERE guild_id = $1 AND incident_id = {})",
            wanted.incident_id,
        )
    if cursor is not None:
        created_at, ordinal, task_id = paging.decode(cursor, 3)
        key = (paging.moment(created_at), paging.number(ordinal), task_id)
        where("(created_at, ordinal, task_id) > ({}, {}, {})", *key)
    query = (
        f"SELECT to_jsonb(tasks) AS task FROM tasks WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY created_at, ordinal, task_id"
    )
    return query, args


def _cursor(task: Task) -> str:
    return paging.encode(task.created_at.isoformat(), str(task.ordinal), task.task_id)


def _unzipped(relations: Sequence[Relation]) -> tuple[list[str], list[str], list[str]]:
    return (
        [relation.task_id for relation in relations],
        [relation.kind.value for relation in relations],
        [relation.other_id for relation in relations],
    )


def _read(row: Any) -> Task:
    return _task.validate_json(row["task"])
