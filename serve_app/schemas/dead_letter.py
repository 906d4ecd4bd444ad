"""Dead letters over HTTP."""

from typing import Annotated, Literal

import orjson
from pydantic import ConfigDict, Field

from actors.bus.messages import (
    DeadLetter,
    DeadLetterPage,
    DiscardDeadLetters,
    ListDeadLetters,
    RedriveDeadLetters,
)
from actors.runtime.message import Context
from serve_app.call import Origin
from serve_app.schemas.carried import CloudEvent, carried
from serve_app.schemas.common import Paging, example
from serve_app.strict import Line, Shown, Strict, View, render_moment

LetterState = Literal["waiting", "requested", "redriven", "discarded"]
_Subscription = Annotated[Line, Field(max_length=200)]
_EventIds = Annotated[
    tuple[Annotated[Line, Field(max_length=200)], ...], Field(min_length=1, max_length=10_000)
]
_EVENT_ID = "evt_01k0000000000000000000000a"


class DeadLetterFilter(Paging):
    """Which dead letters are listed; no state given: those that took no effect yet."""

    subscription: _Subscription | None = None
    state: list[LetterState] = Field(default_factory=list, max_length=4)

    def to_message(self, context: Context) -> ListDeadLetters:
        """The question."""
        return ListDeadLetters(
            context=context,
            subscription=self.subscription,
            states=tuple(self.state) or ("waiting", "requested"),
            limit=self.limit,
            cursor=self.cursor,
        )


class RedriveIn(Strict):
    """What shall be delivered once more; no ids given: all that wait, the oldest first."""

    subscription: _Subscription
    event_ids: _EventIds | None = None

    model_config = ConfigDict(
        json_schema_extra=example(subscription="billing", event_ids=[_EVENT_ID])
    )

    def to_message(self, origin: Origin) -> RedriveDeadLetters:
        """The command."""
        return RedriveDeadLetters(
            **origin, subscription=self.subscription, event_ids=self.event_ids or ()
        )


class DiscardIn(Strict):
    """What nobody shall deliver any more."""

    subscription: _Subscription
    event_ids: _EventIds

    model_config = ConfigDict(
        json_schema_extra=example(subscription="billing", event_ids=[_EVENT_ID])
    )

    def to_message(self, origin: Origin) -> DiscardDeadLetters:
        """The command."""
        return DiscardDeadLetters(
            **origin, subscription=self.subscription, event_ids=self.event_ids
        )


class RedriveView(View):
    """How many will be delivered once more; the others do not wait, or are too many for once."""

    requested: int


class DiscardView(View):
    """How many were discarded."""

    discarded: int


class DeadLetterView(View):
    """A delivery that was given up. ``event`` is null where it was erased or cannot be read."""

    subscription: str
    event_id: str
    event_type: str
    attempts: int
    reason: str
    state: LetterState
    dead_at: Shown
    requested_by: str | None
    redriven_at: Shown | None
    discarded_at: Shown | None
    discarded_by: str | None
    event: CloudEvent | None


class DeadLettersView(View):
    """A page of dead letters, newest first."""

    items: tuple[DeadLetterView, ...]
    next_cursor: str | None


def letters_json(page: DeadLetterPage) -> bytes:
    """A `DeadLettersView` as JSON."""
    return orjson.dumps(
        {"items": [_letter(one) for one in page.dead_letters], "next_cursor": page.next_cursor}
    )


def _letter(one: DeadLetter) -> dict[str, object]:
    return {
        "subscription": one.subscription,
        "event_id": one.event_id,
        "event_type": one.event_type,
        "attempts": one.attempts,
        "reason": one.reason,
        "state": one.state,
        "dead_at": render_moment(one.dead_at),
        "requested_by": one.requested_by,
        "redriven_at": None if one.redriven_at is None else render_moment(one.redriven_at),
        "discarded_at": None if one.discarded_at is None else render_moment(one.discarded_at),
        "discarded_by": one.discarded_by,
        "event": None if one.event is None else carried(one.event),
    }
