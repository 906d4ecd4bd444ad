"""Retry and circuit breaker as pure decisions on numbers; who calls owns clock and dice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long something is tried again.

    Attributes:
        budget_s: no new attempt starts later than this after the first one.
        delay_s: pause before the second attempt; it doubles from there.
        max_delay_s: longest pause.
        max_attempts: attempts in all.
    """

    budget_s: float
    delay_s: float
    max_delay_s: float = 0.5
    max_attempts: int = 100


def pause_before_retry(
    policy: RetryPolicy, *, attempt: int, elapsed_s: float, left_s: float, dice: float
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    Args:
        policy: the bounds.
        attempt: how many attempts were made, at least 1.
        elapsed_s: since the first attempt began.
        left_s: until the caller's deadline.
        dice: a random number in [0, 1); spreads callers that failed together.
    """
    if attempt >= policy.max_attempts:
        return None
    doubled: float = policy.delay_s * 2.0 ** min(attempt - 1, 30)
    pause = min(doubled, policy.max_delay_s) * (0.5 + dice)
    if elapsed_s + pause > policy.budget_s or pause >= left_s:
        return None
    return pause


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether to use something that has failed lately.

    Open for a while after a failure, longer after each further one; then one success closes it.

    Attributes:
        failures: in a row.
        open_until: on the caller's monotonic clock; 0 when closed.
    """

    failures: int = 0
    open_until: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether it may be used now."""
        return now >= self.open_until


CLOSED = Breaker()


def after_failure(breaker: Breaker, *, now: float, avoid_s: float, max_avoid_s: float) -> Breaker:
    """The breaker after one more failure."""
    failures = breaker.failures + 1
    avoided = min(avoid_s * 2.0 ** min(failures - 1, 30), max_avoid_s)
    return Breaker(failures, now + avoided)
