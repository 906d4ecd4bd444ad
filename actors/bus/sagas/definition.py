"""What a kind of saga is: the events it hears, and the step that each leads to. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from actors.events import Payload, StoredEvent
from actors.runtime.message import Command

Facts = Mapping[str, Any]
"""What a saga remembers of the events it has heard; expressible as JSON."""


def always(_: Facts) -> bool:
    """The step is always wanted."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that a saga makes a sage do, once for each event that leads to it.

    Commands carry ids that follow from the event alone: a repeat finds itself in the sage's inbox.

    Attributes:
        on: the events that lead to it.
        pool: whom to ask.
        command: what to ask, for an event.
        wanted: whether it is to be done as things stand. What was done and is wanted no longer is
            undone, where that is possible.
        undo: what to ask in order to undo the work for the event with this id, given the event at
            hand. It must hold also when the work was not done yet: then it never is.
        refusal: what the sage's no means. ``retry``: it may say yes later, so the delivery fails;
            ``tolerate``: the saga goes on without this step; ``compensate``: all is undone.
    """

    name: str
    on: tuple[type[Payload], ...]
    pool: str
    command: Callable[[StoredEvent], Command[Any]]
    wanted: Callable[[Facts], bool] = always
    undo: Callable[[str, StoredEvent], Command[Any]] | None = None
    refusal: Literal["retry", "tolerate", "compensate"] = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A kind of saga.

    Attributes:
        subscription: by which it hears its events.
        saga_id: the saga that an event belongs to; None: to none of this kind. Any of the events
            may be the first that arrives.
        learn: the facts after an event. Learning an event twice is as learning it once, and events
            of different aggregates may come in any order.
        is_complete: whether nothing is left to be done.
    """

    kind: str
    subscription: str
    saga_id: Callable[[StoredEvent], str | None]
    steps: tuple[Step, ...]
    learn: Callable[[Facts, StoredEvent], Facts]
    is_complete: Callable[[Facts], bool]

    def step(self, name: str) -> Step | None:
        """The step of this name; None: a later version does not have it any more."""
        return next((step for step in self.steps if step.name == name), None)
