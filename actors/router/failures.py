"""What a failed delivery means: wait for somebody, try again, or give up. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.bus.messages import DeliveryPolicy
from actors.errors import (
    DeadlineExceeded,
    DependencyUnavailable,
    ElderGuildError,
    HandlerLost,
    Overloaded,
    StaleIndex,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one event has been through at one subscription, the present failure included.

    Attributes:
        failures: in all.
        counted: those that were held against the event.
        failing_for_s: time since the first one.
    """

    failures: int
    counted: int
    failing_for_s: float


@dataclass(frozen=True, slots=True)
class Retry:
    """Deliver again after this time."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """To the dead letters."""

    reason: str


def may_be_ones_fault(error: Exception) -> bool:
    """Whether one event of several may be why all of them failed: each must show for itself.

    Not where the pool as such is away, full or behind.
    """
    match error:
        case HandlerLost():
            return True
        case DependencyUnavailable() | Overloaded() | StaleIndex():
            return False
        case _:
            return True


def held_against_event(
    error: Exception,
    *,
    failing_for_s: float,
    others_served: bool,
    patience_s: float,
    receiver_down: bool = False,
) -> bool:
    """Whether the failure counts as one of the event's attempts.

    A pool that restarts, is full or has no database fails every event alike: giving events up for
    that would empty the queue into the dead letters. It is forgiven for as long as patience lasts.
    An event that takes all its time while the same subscription handled others is not the pool's
    fault; and a handler that says no is never forgiven, nor is one that died of an event which was
    handled apart from all others. Only where everybody is told no does it say nothing of the event.

    Args:
        error: what the pool answered.
        failing_for_s: since this event's first failure.
        others_served: other events were acknowledged during this attempt.
        patience_s: how long the first kind is forgiven.
        receiver_down: one event after the other had failed before, whatever it was.
    """
    if failing_for_s > patience_s:
        return True
    if receiver_down:
        return False
    match error:
        case HandlerLost():
            return True
        case DependencyUnavailable() | Overloaded() | StaleIndex():
            return False
        case DeadlineExceeded():
            return others_served
        case _:
            return True


def after_failure(
    error: Exception, record: Record, policy: DeliveryPolicy, jitter: float
) -> Retry | GiveUp:
    """What to do next.

    Args:
        error: the present failure.
        record: with the present failure counted in.
        policy: attempts and pauses.
        jitter: 0 to 1, so that what failed together does not come back together.
    """
    if record.counted >= policy.max_attempts:
        return GiveUp(describe(error))
    pause_s = pause(policy.backoff_s, record.failures)
    if isinstance(error, Overloaded):
        pause_s = max(pause_s, error.retry_after_s)
    return Retry(pause_s * (1 + jitter / 4))


def pause(backoff_s: Sequence[float], failures: int) -> float:
    """The pause after so many failures; the last one of the list repeats."""
    return backoff_s[min(failures, len(backoff_s)) - 1] if backoff_s else 0.0


def describe(error: Exception) -> str:
    """The reason that is kept with a dead letter; nothing of the inside of what is not ours."""
    match error:
        case ElderGuildError():
            return f"{error.code}: {error}"
        case _:
            return type(error).__name__
