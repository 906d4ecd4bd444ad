"""What the Knowledge sage needs of its storage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.knowledge.domain.access import Sight
from actors.knowledge.domain.entities import Change
from actors.knowledge.messages import (
    Category,
    Entity,
    EntityPage,
    EntityStatus,
    VersionPage,
)
from actors.runtime.message import Command, GuildId


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityFilter:
    """Entities that match everything given; None: anything. Only these statuses, only in sight."""

    sight: Sight
    statuses: frozenset[EntityStatus] = field(
        default_factory=lambda: frozenset(EntityStatus) - {EntityStatus.DELETED}
    )
    category_id: str | None = None
    tag: str | None = None
    author_id: str | None = None


class KnowledgeStore(Protocol):
    """Entities with all their versions, and the guild's own categories; one guild a call."""

    async def get(
        self, guild_id: GuildId, entity_id: str, version: int | None = None
    ) -> Entity | None:
        """The newest version, or the one asked for; deleted ones, too."""

    async def of_origin(self, guild_id: GuildId, origin_id: str) -> Entity | None:
        """The entity that was made from this."""

    async def page(
        self, guild_id: GuildId, wanted: EntityFilter, limit: int, cursor: str | None
    ) -> EntityPage:
        """By creation and id, newest first.

        Raises:
            ValidationError: the cursor is not one of ours.
        """

    async def versions(
        self, guild_id: GuildId, entity_id: str, sight: Sight, limit: int, cursor: str | None
    ) -> VersionPage:
        """Those in sight, newest first: a version keeps the access level that it had.

        Raises:
            ValidationError: the cursor is not one of ours.
        """

    async def categories(self, guild_id: GuildId) -> Sequence[Category]:
        """Those that the guild added."""

    async def commit(self, change: Change, *, cause: Command[Any], reply: object) -> None:
        """Entity, version, event and reply, or nothing of it.

        Raises:
            VersionConflict: the entity is not what the change was decided on.
            AlreadyHandled: the command took effect before.
        """

    async def add_category(self, category: Category, *, cause: Command[Any], reply: object) -> None:
        """A category and the reply, or nothing of it.

        Raises:
            VersionConflict: somebody else added it meanwhile.
            AlreadyHandled: the command took effect before.
        """
