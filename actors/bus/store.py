"""What the bus needs of its storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from actors.bus.domain.publishing import Line
from actors.bus.domain.pulling import Loan
from actors.bus.messages import (
    Account,
    AuditPage,
    BrowseEvents,
    DeadLetterPage,
    EraseSubject,
    Erasure,
    EventPage,
    ListAudit,
    ListDeadLetters,
    Origin,
    Published,
    PulledEvent,
    RecordAudit,
    Replay,
    ReplayPage,
    StartReplay,
    Subscription,
    SubscriptionInfo,
    SubscriptionPage,
)
from actors.events import DeliverEvents, StoredEvent, SubscriptionMatched
from actors.runtime.message import Command, Context, GuildId, Position
from actors.storage.frontier import Frontier


class PublishingStore(Protocol):
    """The log's side that takes events from outside."""

    async def append(self, guild_id: GuildId, lines: Sequence[Line]) -> Sequence[Published]:
        """Writes all of them or none, in one transaction, and answers after its commit.

        A line whose ``(source, source_id)`` the log has already, also from earlier in ``lines``,
        is not written: its answer is that of the first. A line with a data subject is kept
        sealed, under a digest of its name.

        Raises:
            ValidationError: the database refuses one of them, or its data subject was erased; the
                field names it, ``events[3].datasubject``.
            VersionConflict: a later transaction was first at an aggregate; repeat it.
            DependencyUnavailable: the database is away.
        """


class ErasureStore(Protocol):
    """Keys of data subjects; one guild a call."""

    async def erase(self, command: EraseSubject) -> Erasure:
        """Destroys the subject's key and says so in the log; its dead letters are discarded.

        From the answer on nothing is published for the subject, and what was sealed for it can be
        read by nobody, also where there never was a key. A repeat answers the first erasure.
        """


class AuditStore(Protocol):
    """A guild's audit log; what tells of a transaction is written in it, and not here."""

    async def page(self, query: ListAudit) -> AuditPage:
        """Newest first.

        Raises:
            ValidationError: the cursor is not one of ours.
        """

    async def record(self, command: RecordAudit) -> None:
        """Lengthens the chain of the caller's guild.

        Raises:
            AlreadyHandled: the command took effect before.
        """

    async def account(self, login: str) -> Account | None:
        """Whose login this is, in whatever guild."""


class SubscriptionStore(Protocol):
    """What a guild declared; one guild a call."""

    async def load(self, guild_id: GuildId, name: str) -> Subscription | None:
        """The declaration alone."""

    async def info(self, guild_id: GuildId, name: str) -> SubscriptionInfo | None:
        """With how far it has come."""

    async def page(self, guild_id: GuildId, limit: int, cursor: str | None) -> SubscriptionPage:
        """By name.

        Raises:
            ValidationError: the cursor is not one of ours.
        """

    async def count(self, guild_id: GuildId) -> int:
        """How many there are."""

    async def commit(
        self,
        changed: Subscription,
        *,
        origin: Origin | None,
        meaning: Sequence[float] | None,
        cause: Command[Any],
    ) -> SubscriptionInfo:
        """Writes it, raises the revision that the router watches, and records the reply.

        The reply says whether it was made.

        Args:
            changed: version 1: there must be none yet; else the version before must be there. A
                generation that is new forgets what waited to be pulled under the one before.
            origin: where to begin; needed for a new generation, None for another change.
            meaning: of what it is similar to.
            cause: the command; its reply is what this returns.

        Raises:
            VersionConflict: it is not what the change was decided on.
            PositionOfAnotherEpoch: of the origin.
            AlreadyHandled: the command took effect before.
        """

    async def delete(self, gone: Subscription, *, cause: Command[Any]) -> None:
        """Takes it away, with what waited to be pulled; its replays end.

        Raises:
            VersionConflict: it is not the one that was loaded.
            AlreadyHandled: the command took effect before.
        """


class ReadingStore(Protocol):
    """The log's side that shows a guild its own events."""

    async def browse(self, query: BrowseEvents, limit: int) -> EventPage:
        """A page of what the query asks for.

        Raises:
            ValidationError: the cursor is not one of ours.
            PositionOfAnotherEpoch: it is, of a log that was moved since.
        """

    async def advance(
        self, guild_id: GuildId, frontier: Frontier | None, limit: int
    ) -> tuple[Sequence[StoredEvent], Frontier, bool]:
        """What is visible behind a frontier, from where to go on, and whether there may be more.

        Args:
            guild_id: whose events.
            frontier: None: everything visible now counts as read.
            limit: lines of the log.

        Raises:
            PositionOfAnotherEpoch: the frontier is of a log that was moved since.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """What a look at the waiting lines gave.

    Attributes:
        events: on loan now.
        again: nothing is, but lines were put away that stood before others.
    """

    events: tuple[PulledEvent, ...]
    again: bool


class PullStore(Protocol):
    """What waits to be pulled; one guild a call."""

    async def lease(
        self, context: Context, subscription: Subscription, limit: int, routine: int
    ) -> Leased:
        """Lends what may go, until the subscription's ack deadline from now.

        Of each aggregate at most the oldest unfinished line, unless its ordering is ``none``.
        Lines whose attempts are used up, or that cannot be read, become dead letters.

        Args:
            context: whose guild.
            subscription: that is pulled.
            limit: at most so many.
            routine: of them so many are of the routine lane where it has them.
        """

    async def ack(
        self, guild_id: GuildId, subscription: Subscription, given: Sequence[Loan]
    ) -> None:
        """Finishes all of them or none.

        Raises:
            LateAck: one is not on loan under this attempt any more.
        """

    async def nack(
        self,
        context: Context,
        subscription: Subscription,
        given: Sequence[Loan],
        delays_s: Sequence[float],
        reason: str,
    ) -> None:
        """Gives all of them back, to be lent again after their delays, or none.

        The line of a last attempt becomes a dead letter.

        Raises:
            LateAck: one is not on loan under this attempt any more.
        """


class DeadLetterStore(Protocol):
    """Deliveries that were given up; one guild a call."""

    async def page(self, query: ListDeadLetters) -> DeadLetterPage:
        """Newest first.

        Raises:
            ValidationError: the cursor is not one of ours.
        """

    async def redrive(
        self, subscription: str, event_ids: Sequence[str], most: int, *, cause: Command[int]
    ) -> int:
        """Marks those that wait as requested, by the caller and now; all where no ids are given.

        Returns:
            How many were marked, at most ``most``.

        Raises:
            AlreadyHandled: the command took effect before.
        """

    async def discard(
        self, subscription: str, event_ids: Sequence[str], *, cause: Command[int]
    ) -> int:
        """Marks those that took no effect yet as discarded, by the caller and now.

        Raises:
            AlreadyHandled: the command took effect before.
        """


class ReplayStore(Protocol):
    """Stretches of the log that are heard again; one guild a call."""

    async def start(self, command: StartReplay, replay_id: str, most_running: int) -> Replay | None:
        """A new one that runs; None: too many do.

        Raises:
            ValidationError: its end is not behind its beginning.
            PositionOfAnotherEpoch: of its beginning or end.
            AlreadyHandled: the command took effect before.
        """

    async def get(self, guild_id: GuildId, replay_id: str) -> Replay | None:
        """One of them."""

    async def page(self, guild_id: GuildId, limit: int, cursor: str | None) -> ReplayPage:
        """Newest first.

        Raises:
            ValidationError: the cursor is not one of ours.
        """

    async def cancel(self, replay: Replay, *, cause: Command[Replay]) -> Replay:
        """Stops one that runs; what it had waiting to be pulled is gone.

        Raises:
            VersionConflict: it went on meanwhile.
            AlreadyHandled: the command took effect before.
        """


class Standing(NamedTuple):
    """A subscription by meaning; what happened at or below its origin is not for it.

    Without a vector its meaning is not known in the model that events are embedded with.
    """

    subscription_id: str
    filter_spec: Mapping[str, Any]
    vector: Sequence[float] | None
    origin: Position


class MeaningStore(Protocol):
    """Standing queries; one guild a call."""

    async def revision(self, guild_id: GuildId) -> int:
        """Rises with every change of a subscription."""

    async def standing(self, guild_id: GuildId) -> Sequence[Standing]:
        """Every subscription that has a meaning, also while it is paused."""

    async def keep(self, guild_id: GuildId, made: Sequence[Standing]) -> None:
        """Keeps vectors that were made anew, but of what has another meaning by now."""

    async def commit(
        self, matched: Sequence[tuple[StoredEvent, SubscriptionMatched]], *, cause: DeliverEvents
    ) -> None:
        """Writes what matched, with the deliveries; those that took effect before are left out."""
