"""What the Identity sage needs of a store."""

from collections.abc import Sequence
from typing import Any, Protocol

from actors.events import Payload
from actors.identity.domain import Principal
from actors.runtime.message import Command, GuildId


class IdentityStore(Protocol):
    """Users and clients of all guilds; each call but `guild_of` sees one guild."""

    async def guild_of(self, login: str) -> GuildId | None:
        """The guild that a login or client id belongs to, asked before any guild is known."""

    async def by_login(self, guild_id: GuildId, login: str) -> Principal | None:
        """The principal, or None where this guild has none of that name."""

    async def commit(
        self, principal: Principal, events: Sequence[Payload], *, cause: Command[Any], reply: object
    ) -> None:
        """Row, events and reply in one transaction.

        The row is new where ``principal.version`` equals the number of events.

        Raises:
            ValidationError: the login is taken, in this guild or another.
            VersionConflict: somebody else changed it first.
        """
