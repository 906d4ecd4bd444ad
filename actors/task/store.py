"""What the Task sage needs of its storage."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.runtime.message import Command, GuildId
from actors.task.domain.change import Change
from actors.task.domain.relations import Plan
from actors.task.messages import Origin, Relation, RelationKind, Task, TaskPage, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Tasks that match everything given; empty and None: anything."""

    statuses: frozenset[TaskStatus] = field(default_factory=frozenset)
    assignee: str | None = None
    incident_id: str | None = None


class TaskStore(Protocol):
    """Tasks that are not deleted, of one guild a call."""

    async def get(self, guild_id: GuildId, ids: Collection[str]) -> dict[str, Task]:
        """Those that exist, by id."""

    async def relations(self, guild_id: GuildId, ids: Collection[str]) -> Sequence[Relation]:
        """The relations that these tasks have, from their side."""

    async def plan(
        self, guild_id: GuildId, start: str, kinds: Collection[RelationKind], most: int
    ) -> Plan:
        """What can be reached from a task, and the plan's version, of one moment."""

    async def page(
        self, guild_id: GuildId, wanted: TaskFilter, limit: int, cursor: str | None
    ) -> TaskPage:
        """By creation, ordinal and id.

        Raises:
            ValidationError: the cursor is not one of ours.
        """

    async def of_incident(
        self, guild_id: GuildId, incident_id: str, origin: Origin
    ) -> Sequence[Task]:
        """The tasks that the sage itself made for an incident, in their order."""

    async def commit(self, change: Change, *, cause: Command[Any], reply: object) -> None:
        """Tasks, relations, events and the reply, or nothing of it.

        Raises:
            VersionConflict: one of the tasks, or the plan, is not what the change was decided on.
            AlreadyHandled: the command took effect before.
        """

    async def forestall(self, guild_id: GuildId, command_id: str) -> bool:
        """Makes sure that a command that took no effect yet never will; False: it has."""
