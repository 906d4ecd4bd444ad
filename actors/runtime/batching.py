"""Pure decisions of a mailbox: whether a call leaves now, and what goes with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Sendable(Protocol):
    """What these decisions look at."""

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        ...

    @property
    def deadline(self) -> float:
        """On the caller's monotonic clock."""
        ...


SendableT = TypeVar("SendableT", bound=Sendable)


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one batch, and of the calls that carry them.

    Attributes:
        worth_a_call: messages that must wait before another call joins one under way.
    """

    max_count: int
    max_bytes: int
    calls_in_flight: int
    worth_a_call: int


@dataclass(frozen=True, slots=True)
class Take(Generic[SendableT]):
    """What leaves the mailbox: the next batch, and what nobody waits for any more."""

    batch: tuple[SendableT, ...]
    expired: tuple[SendableT, ...]


def may_send(waiting: int, in_flight: int, limits: Limits) -> bool:
    """Whether a call leaves now.

    An idle member is asked at once: nobody gains by waiting for company. While a call is under
    way the messages collect, and that is what fills the batches: a call costs about the same
    whatever it carries. It is back after the linger time at the latest, however slow what it
    carries; only a crowd is worth another call before that.
    """
    if in_flight == 0:
        return waiting > 0
    return in_flight < limits.calls_in_flight and waiting >= limits.worth_a_call


def take(waiting: Iterable[SendableT], now: float, limits: Limits) -> Take[SendableT]:
    """The longest prefix that fits one call, oldest first, without what has expired.

    A message that alone exceeds the bytes goes alone: it must go some time.
    """
    batch: list[SendableT] = []
    expired: list[SendableT] = []
    total = 0
    for one in waiting:
        if one.deadline <= now:
            expired.append(one)
            continue
        total += one.size
        if batch and (len(batch) == limits.max_count or total > limits.max_bytes):
            break
        batch.append(one)
    return Take(tuple(batch), tuple(expired))
