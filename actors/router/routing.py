"""Who hears what: the built-in subscriptions as data, and what is common to all. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from actors import patterns
from actors.bus.messages import DeliveryPolicy, PoolSink, Sink
from actors.events import StoredEvent
from actors.runtime.message import GuildId, Position


@dataclass(frozen=True)
class Stretch:
    """The part of the log that a replay delivers again.

    Attributes:
        end: the last position.
        speed: 1 is the pace at which it happened, 2 twice that; 0: as fast as it goes.
    """

    end: Position
    speed: float


@dataclass(frozen=True)
class Subscription:
    """Somebody who wants events of some types.

    Attributes:
        name: first part of every delivery's command id and name of the cursor: never changes.
        pool: the sage pool that handles them, where ``sink`` does not say otherwise.
        types: wire names; ``*`` stands for any run of characters, dots included.
        guild_id: hears of this guild only; None: of all, as built-in ones do.
        accepts: what of these types it wants; None: everything.
        unwraps: gives the event that is delivered in place of the one that was read; None of it:
            nothing is.
        sink: where events go; None: one by one to ``pool``.
        policy: how hard to try; None: as the settings say.
        origin: where it begins.
        replays: it ends there, and then is no more.
        declared_as: its id, where a guild declared it.
        title: what people call it; default the name.
        letters_as: under which name its dead letters are kept; default the name.
        version: of the declaration.
    """

    name: str
    pool: str
    types: tuple[str, ...]
    guild_id: GuildId | None = None
    accepts: Callable[[StoredEvent], bool] | None = field(default=None, compare=False)
    unwraps: Callable[[StoredEvent], StoredEvent | None] | None = field(default=None, compare=False)
    sink: Sink | None = None
    policy: DeliveryPolicy | None = None
    origin: Position | None = None
    replays: Stretch | None = None
    declared_as: str | None = None
    title: str = ""
    letters_as: str = ""
    version: int = 0

    @property
    def letters(self) -> str:
        """Under which name its dead letters are kept."""
        return self.letters_as or self.name

    @property
    def series(self) -> str:
        """Under which name metrics count it.

        There may be thousands of what guilds declare, and a replay or a generation must not begin
        a series: those are counted by where their events go.
        """
        if self.guild_id is None:
            return self.name
        if self.declared_as is None:
            return self.name.partition(":")[0]
        return "declared." + ("pool" if self.sink is None else self.sink.kind)

    def wants(self, event_type: str) -> bool:
        """Whether events of this type are delivered to it."""
        return self._pattern.fullmatch(event_type) is not None

    def hears(self, guild_id: GuildId, event_type: str) -> bool:
        """Whether events of this guild and type are delivered to it, if it accepts them."""
        return self.guild_id in (None, guild_id) and self.wants(event_type)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return patterns.compiled(self.types)


BUILT_IN: tuple[Subscription, ...] = (
    Subscription(
        "saga.incident_loop",
        "bus",
        (
            "sage.incident.created",
            "sage.incident.dossier.ready",
            "sage.incident.resolved",
            "sage.incident.reopened",
            "sage.incident.closed",
            "sage.incident.review.published",
            "sage.knowledge.created",
        ),
    ),
    Subscription("incident.escalation", "incident", ("system.timer.fired",)),
    Subscription(
        "rag.projection",
        "rag",
        (
            "sage.knowledge.created",
            "sage.knowledge.updated",
            "sage.knowledge.deleted",
            "sage.incident.created",
            "sage.incident.alert.received",
            "sage.incident.updated",
            "sage.incident.resolved",
            "sage.incident.reopened",
            "sage.incident.closed",
            "sage.task.*",
        ),
    ),
    # Apart from the projection: learning waits for the embedder, what is found must not.
    Subscription("rag.outcomes", "rag", ("sage.incident.resolved",)),
)

MEANING = "bus.meaning"
"""First part of the names of `meaning_of`."""


def meaning_of(guild_id: GuildId, origin: Position) -> Subscription:
    """Has the bus compare a guild's events with its standing queries.

    There is one for each guild that has any: nobody else's events are carried to the bus.
    """
    return Subscription(
        f"{MEANING}:{guild_id}",
        "bus",
        (
            "sage.incident.created",
            "sage.task.created",
            "sage.knowledge.created",
            "sage.knowledge.updated",
            "custom.*",
        ),
        guild_id=guild_id,
        sink=PoolSink(pool="bus", batch=32),
        origin=origin,
    )


def route(
    event_type: str, subscriptions: Sequence[Subscription] = BUILT_IN
) -> tuple[Subscription, ...]:
    """The subscriptions that want events of this type, in their order."""
    return tuple(one for one in subscriptions if one.wants(event_type))
