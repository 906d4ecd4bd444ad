"""Standing queries: which events are about what somebody asked to hear of. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from actors.events import CustomEvent, StoredEvent, SubscriptionMatch
from actors.index.similarity import cosines_of_unit
from actors.runtime.message import Position

SUBSCRIPTION = "bus.meaning"
"""First part of the name of the subscription by which a guild's events come here."""

MIN_SCORE = 0.5
"""Where a filter says nothing else."""

Vectors = npt.NDArray[np.float32]
_TELLING = ("title", "name", "summary", "description", "content")
"""Fields that say what an event is about, in the order in which they are read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StandingQueries:
    """All of a guild.

    Attributes:
        subscription_ids: whose they are.
        vectors: shape (queries, dimension), each of length 1.
        floors: shape (queries,), the lowest score that counts.
        origins: where each of them begins; what happened before is not for it.
        wanted: what else each of them asks of an event; None: nothing.
    """

    subscription_ids: tuple[str, ...]
    vectors: Vectors
    floors: Vectors
    origins: tuple[Position, ...]
    wanted: tuple[Callable[[StoredEvent], bool] | None, ...]


def matches(
    queries: StandingQueries, events: Sequence[StoredEvent], meanings: Vectors
) -> Iterator[tuple[int, SubscriptionMatch | None]]:
    """The subscriptions each event is close enough to: event by event, best first.

    Its filter is asked of one pair at a time, so that others can have a turn between two of them.

    Args:
        queries: at least one.
        events: what happened.
        meanings: shape (events, dimension), each of length 1.

    Yields:
        Which of the events it is, and the match; None where that subscription does not want it.
    """
    scores = cosines_of_unit(meanings, queries.vectors)
    close = scores >= queries.floors
    for index, event in enumerate(events):
        places = np.flatnonzero(close[index])
        ranked = places[np.argsort(-scores[index, places], kind="stable")]
        for place in ranked:
            begun = event.position > queries.origins[place]
            if not begun or not _wants(queries.wanted[place], event):
                yield index, None
                continue
            yield (
                index,
                SubscriptionMatch(
                    subscription_id=queries.subscription_ids[place],
                    score=round(float(scores[index, place]), 6),
                ),
            )


def text_of(event: StoredEvent, longest: int) -> str | None:
    """What the event says in words, cut; None where it says nothing, or must not be read."""
    if event.sealed_for is not None:
        return None
    payload = event.payload
    if isinstance(payload, CustomEvent):
        data = orjson.loads(payload.data)
        told = [data[name] for name in _TELLING if name in data] if isinstance(data, dict) else []
        words = list(_leaves(told)) or list(_leaves(data))
    else:
        words = list(_leaves([getattr(payload, name, None) for name in _TELLING]))
    text = "\n".join(words)[:longest].strip()
    return text or None


def _wants(wanted: Callable[[StoredEvent], bool] | None, event: StoredEvent) -> bool:
    return wanted is None or wanted(event)


def _leaves(data: Any) -> Iterator[str]:
    """Every text in a JSON value, in order."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if value.strip():
                yield value.strip()
        elif isinstance(value, dict):
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list | tuple):
            waiting.extend(reversed(value))
