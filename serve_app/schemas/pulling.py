"""Pulling over HTTP: events on loan, and what became of them."""

from collections.abc import Sequence
from typing import Annotated

import orjson
from pydantic import ConfigDict, Field

from actors.bus.messages import AckEvents, NackEvents, PulledEvent, PullEvents
from actors.errors import ValidationError
from actors.settings import BusSettings
from serve_app.call import Origin
from serve_app.schemas.carried import CloudEvent, carried
from serve_app.schemas.common import example
from serve_app.schemas.place import Seconds
from serve_app.strict import Integer, Line, Shown, Strict, Text, View, render_moment

_AckIds = Annotated[
    tuple[Annotated[Line, Field(max_length=100)], ...], Field(min_length=1, max_length=10_000)
]
_ACK_ID = "7421-12.1"


class PullIn(Strict):
    """How many at most, and how long to wait for the first."""

    max_events: Integer = 10
    wait_s: Seconds = 0.0

    model_config = ConfigDict(json_schema_extra=example(max_events=50, wait_s=5))

    def to_message(self, origin: Origin, name: str, bounds: BusSettings) -> PullEvents:
        """The command.

        Raises:
            ValidationError: its answer could not be waited for so long.
        """
        if self.wait_s > bounds.pull_wait_s:
            raise ValidationError("wait_s", f"is not between 0 and {bounds.pull_wait_s:g}")
        return PullEvents(**origin, name=name, max_events=self.max_events, wait_s=self.wait_s)


class AckIn(Strict):
    """Which attempts took effect."""

    ack_ids: _AckIds

    model_config = ConfigDict(json_schema_extra=example(ack_ids=[_ACK_ID]))

    def to_message(self, origin: Origin, name: str) -> AckEvents:
        """The command."""
        return AckEvents(**origin, name=name, ack_ids=self.ack_ids)


class NackIn(Strict):
    """Which attempts failed; without ``delay_s`` the subscription's own pause counts."""

    ack_ids: _AckIds
    delay_s: Seconds | None = None
    reason: Text = Field(default="", max_length=500)

    model_config = ConfigDict(
        json_schema_extra=example(ack_ids=[_ACK_ID], delay_s=30, reason="the ledger is closed")
    )

    def to_message(self, origin: Origin, name: str) -> NackEvents:
        """The command."""
        return NackEvents(
            **origin, name=name, ack_ids=self.ack_ids, delay_s=self.delay_s, reason=self.reason
        )


class PulledView(View):
    """An event on loan; ``ack_id`` names this attempt of it, and no other."""

    ack_id: str = Field(examples=[_ACK_ID])
    attempt: int
    lease_until: Shown
    event: CloudEvent


class PulledEventsView(View):
    """What was pulled."""

    events: tuple[PulledView, ...]


def pulled_json(pulled: Sequence[PulledEvent]) -> bytes:
    """A `PulledEventsView` as JSON."""
    return orjson.dumps(
        {
            "events": [
                {
                    "ack_id": one.ack_id,
                    "attempt": one.attempt,
                    "lease_until": render_moment(one.lease_until),
                    "event": carried(one.event),
                }
                for one in pulled
            ]
        }
    )
