"""Who may read and change what. What one may not read is not there: `NotFound`, not a refusal."""

from dataclasses import dataclass

from actors.access import shared_with
from actors.errors import NotAuthorized, NotFound
from actors.knowledge.messages import AccessLevel, Entity, EntityStatus
from actors.runtime.message import Caller, Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one caller can see: these levels, and whatever is its own."""

    levels: frozenset[AccessLevel]
    principal_id: str

    def includes(self, level: AccessLevel, owner_id: str) -> bool:
        """Whether an entity of this level and owner is seen."""
        return level in self.levels or owner_id == self.principal_id


def sight(caller: Caller) -> Sight:
    """A guest, who holds nothing but ``read``, sees what is public; an admin sees everything."""
    return Sight(
        levels=frozenset(map(AccessLevel, shared_with(caller))), principal_id=caller.principal_id
    )


def listable(statuses: frozenset[EntityStatus], caller: Caller) -> frozenset[EntityStatus]:
    """Those that may be listed: deleted entities only for elders, who may restore them."""
    hidden = frozenset() if caller.may(Permission.DELETE) else frozenset({EntityStatus.DELETED})
    return statuses - hidden


def seen(entity: Entity | None, entity_id: str, caller: Caller) -> Entity:
    """The entity, if the caller may know of it.

    Raises:
        NotFound: there is none, or not for this caller.
    """
    if entity is None or not sight(caller).includes(entity.access_level, entity.owner_id):
        raise NotFound("entity", entity_id)
    return entity


def current(entity: Entity | None, entity_id: str, caller: Caller) -> Entity:
    """The same, and it is not deleted."""
    found = seen(entity, entity_id, caller)
    if found.status is EntityStatus.DELETED:
        raise NotFound("entity", entity_id)
    return found


def owner(entity: Entity, caller: Caller) -> None:
    """Refuses what only the owner and admins may do."""
    if entity.owner_id != caller.principal_id and not caller.may(Permission.ADMIN):
        raise NotAuthorized("of the entity's owner")
