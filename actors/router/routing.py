"""Who hears what: the built-in subscriptions, as data. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Subscription:
    """A pool that wants events of some types.

    Attributes:
        name: first part of every delivery's command id and name of the cursor: never changes.
        pool: the sage pool that handles them.
        types: wire names; ``*`` stands for any run of characters, dots included.
    """

    name: str
    pool: str
    types: tuple[str, ...]

    def wants(self, event_type: str) -> bool:
        """Whether events of this type are delivered to it."""
        return self._pattern.fullmatch(event_type) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in self.types))


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
)


def route(
    event_type: str, subscriptions: Sequence[Subscription] = BUILT_IN
) -> tuple[Subscription, ...]:
    """The subscriptions that want events of this type, in their order."""
    return tuple(one for one in subscriptions if one.wants(event_type))
