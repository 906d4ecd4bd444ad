"""Where a subscription's events go. One interface for pools, webhooks, streams and pulls."""

from collections.abc import Sequence
from typing import Protocol

from actors.events import StoredEvent
from actors.router.pace import Pace


class Sink(Protocol):
    """Takes events and answers when they are safe with the other side.

    Attributes:
        batch: how many it takes at a time.
        pace: how often it may be called, and when it is left alone.
    """

    batch: int
    pace: Pace

    async def deliver(self, delivery: str, events: Sequence[StoredEvent], timeout_s: float) -> None:
        """Hands over events of one guild, all or none.

        Args:
            delivery: first part of each delivery's id, ``<delivery>/<event_id>``: the built-in
                subscription's name, ``<subscription_id>@<generation>``, or a replay's id.
            events: at most ``batch``; of one aggregate in the order of its versions.
            timeout_s: after which the attempt counts as failed.

        Raises:
            ElderGuildError: none was taken, or nobody knows; they will be delivered again.
            Gone: the other side wants nothing any more; the subscription is to be disabled.
        """

    async def close(self) -> None:
        """Lets go of connections."""
