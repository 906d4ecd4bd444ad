"""What sessions need of a store."""

from collections.abc import Sequence
from typing import Any, Protocol

from actors.events import Payload
from actors.identity.sessions.domain import Code, Refresh, Session
from actors.identity.sessions.messages import DenyToken, Revoked
from actors.runtime.message import Command, GuildId


class SessionStore(Protocol):
    """Sessions, their tokens and codes, each call in one guild."""

    async def by_refresh(self, guild_id: GuildId, digest: str) -> tuple[Session, Refresh] | None:
        """The token and its session, as they are at one moment."""

    async def by_code(self, guild_id: GuildId, digest: str) -> tuple[Code, Session | None] | None:
        """The code, and the session that it was used for."""

    async def add_code(self, code: Code, *, cause: Command[Any]) -> None:
        """Keeps a new code, and the reply None, in one transaction."""

    async def start(
        self,
        session: Session,
        token: Refresh,
        events: Sequence[Payload],
        *,
        code: Code | None,
        cause: Command[Any],
        reply: object,
    ) -> None:
        """Session, first token, events, reply, and that the code was used, in one transaction.

        Raises:
            VersionConflict: the code was used meanwhile.
        """

    async def rotate(
        self, session: Session, used: Refresh, token: Refresh, *, cause: Command[Any], reply: object
    ) -> None:
        """The one token is used, the other takes its place; with the reply in one transaction.

        Raises:
            VersionConflict: it was used, or the session ended, meanwhile.
        """

    async def end(
        self, session: Session, events: Sequence[Payload], *, cause: Command[Any]
    ) -> None:
        """The session has ended, its access tokens are refused, events; in one transaction.

        Nothing happens where somebody else has ended it meanwhile, or where ``cause`` has taken
        effect before: a repeat of it is no theft.
        """


class RevocationStore(Protocol):
    """What is refused before it expires."""

    async def deny(self, command: DenyToken) -> None:
        """Refuses one access token from now on, which is audited; a repeat changes nothing.

        Raises:
            Overloaded: the guild has as many of them as it may have at a time.
        """

    async def revoked_since(self, cursor: int, limit: int) -> Revoked:
        """Of all guilds; see `RevokedSince`."""
