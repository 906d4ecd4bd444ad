"""What the router needs of the database."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from actors.events import StoredEvent
from actors.runtime.message import GuildId, Position
from actors.storage.log import Page


class Start(NamedTuple):
    """Where a subscription goes on.

    Attributes:
        cursor: everything at or below is finished.
        given_up: ids of events above it that are in the dead letters already.
    """

    cursor: Position
    given_up: frozenset[str]


class RouterStore(Protocol):
    """The log, and what this router keeps under its lease.

    Everything that writes raises `LeadershipLost` when the lease is over, and then wrote nothing.
    """

    async def start(self, subscriptions: Sequence[str]) -> dict[str, Start]: ...

    async def scan(self, after: Position, limit: int) -> Page: ...

    async def save(self, cursors: Mapping[str, Position]) -> None: ...

    async def give_up(
        self, subscription: str, event_id: str, guild_id: GuildId, attempts: int, reason: str
    ) -> None: ...

    async def renew(self) -> None: ...

    async def lag(self, after: Position, types: Sequence[str], at_most: int) -> int: ...

    async def dead_letters(self) -> dict[str, int]: ...

    async def dead_events(
        self, subscription: str, event_ids: Sequence[str]
    ) -> list[StoredEvent]: ...

    async def redriven(self, subscription: str, event_ids: Sequence[str]) -> None: ...
