"""What the Identity sage needs of a store."""

from collections.abc import Sequence
from typing import Any, Protocol

from actors.events import Payload
from actors.identity.attempts import Lane
from actors.identity.domain import Principal
from actors.identity.messages import Kind
from actors.runtime.message import Command, GuildId


class IdentityStore(Protocol):
    """Users and clients of all guilds; each call sees one, but `guild_of` and the last three."""

    async def guild_of(self, login: str) -> GuildId | None:
        """The guild that a login or client id belongs to, asked before any guild is known."""

    async def by_login(self, guild_id: GuildId, login: str) -> Principal | None:
        """The principal, or None where this guild has none of that name."""

    async def by_id(self, guild_id: GuildId, principal_id: str) -> Principal | None:
        """The principal, or None where this guild has none of that id."""

    async def page(
        self, guild_id: GuildId, kind: Kind, after: str, limit: int
    ) -> Sequence[Principal]:
        """Principals of one kind, by id, behind this id; empty: from the first."""

    async def commit(
        self, principal: Principal, events: Sequence[Payload], *, cause: Command[Any], reply: object
    ) -> None:
        """Row, events and reply in one transaction; a change also refuses what was issued before.

        The row is new where ``principal.version`` equals the number of events. Without events the
        row stays, and only the reply is kept.

        Raises:
            ValidationError: the login is taken, in this guild or another.
            VersionConflict: somebody else changed it first.
        """

    async def attempt_in(self, lanes: Sequence[Lane]) -> float:
        """Counts an attempt to sign in, for all members together.

        A lane that is closed keeps all of them from counting.

        Returns:
            0 where it may be made, else the seconds until it may be.
        """

    async def succeeded_in(self, lanes: Sequence[Lane]) -> None:
        """Takes the attempt back, as each lane says."""

    async def take_back_in(self, lanes: Sequence[Lane]) -> None:
        """As if this one attempt had not been made."""
