"""What the router needs of the database."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from actors.events import StoredEvent
from actors.router.routing import Subscription
from actors.router.serving import Serving
from actors.runtime.message import GuildId, Position
from actors.storage.frontier import Frontier
from actors.storage.log import Advance, Unreadable


class Start(NamedTuple):
    """Where a subscription goes on.

    Attributes:
        cursor: everything at or below is finished.
        given_up: ids of events above it that are in the dead letters already.
    """

    cursor: Position
    given_up: frozenset[str]


class Requested(NamedTuple):
    """A dead letter that somebody wants delivered once more.

    ``subscription`` is the first part of its delivery's id.
    """

    subscription: str
    event: StoredEvent | Unreadable
    requested_by: str


class RouterStore(Protocol):
    """The log, and what this router keeps under its lease.

    Everything that writes raises `LeadershipLost` when the lease is over, and then wrote nothing.
    """

    async def start(self, subscriptions: Sequence[Subscription]) -> dict[str, Start]: ...

    async def advance(self, frontiers: Sequence[Frontier], limit: int) -> list[Advance]: ...

    async def erased(self, events: Sequence[StoredEvent]) -> frozenset[str]:
        """Ids of those whose data subject was erased since they were read."""

    async def save(self, cursors: Mapping[str, Position]) -> None: ...

    async def give_up(
        self,
        subscription: Subscription,
        event: StoredEvent | Unreadable,
        attempts: int,
        reason: str,
    ) -> None:
        """To the dead letters, with an event that says so, in one transaction."""

    async def renew(self) -> None: ...

    async def revision(self) -> int:
        """Rises whenever a declaration or a replay was changed."""

    async def declared(self, limit: int) -> list[Subscription]:
        """What guilds declared and is active, and the replays that run."""

    async def disable(self, subscription_id: str, reason: str) -> None: ...

    async def complete_replay(self, replay_id: str, delivered: int) -> None:
        """It has come to its end; an event says so, in one transaction."""

    async def forget_stale(self) -> None:
        """Cursors, and lines that wait to be pulled, of what is declared no more."""

    async def lag(
        self, after: Position, guild_id: GuildId | None, types: Sequence[str], at_most: int
    ) -> int:
        """How many events of these patterns lie behind a position, counted up to a bound."""

    async def dead_letters(self) -> dict[str, int]: ...

    async def requested(self, serving: Serving, limit: int) -> list[Requested]:
        """Of those that are served, and were not erased, the first that were asked for."""

    async def dead_events(
        self, subscription: str, event_ids: Sequence[str]
    ) -> list[StoredEvent]: ...

    async def redriven(
        self, subscription: Subscription, event: StoredEvent, requested_by: str
    ) -> None:
        """It took effect after all; an event says so, in one transaction."""
