from hypothesis import given
from hypothesis import strategies as st

from actors.resilience import CLOSED, RetryPolicy, after_failure, pause_before_retry

policies = st.builds(
    RetryPolicy,
    budget_s=st.floats(0, 10),
    delay_s=st.floats(0.001, 1),
    max_delay_s=st.floats(0.001, 2),
    max_attempts=st.integers(1, 50),
)
seconds = st.floats(0, 20)
unit = st.floats(0, 1, exclude_max=True)


@given(policies, st.integers(1, 100), seconds, seconds, unit)
def test_no_attempt_starts_beyond_the_budget_or_the_deadline(
    policy: RetryPolicy, attempt: int, elapsed: float, left: float, dice: float
) -> None:
    pause = pause_before_retry(policy, attempt=attempt, elapsed_s=elapsed, left_s=left, dice=dice)

    if pause is not None:
        assert elapsed + pause <= policy.budget_s
        assert pause < left
        assert attempt < policy.max_attempts


@given(policies, unit)
def test_a_retry_loop_ends(policy: RetryPolicy, dice: float) -> None:
    elapsed, attempt = 0.0, 1

    while True:
        pause = pause_before_retry(
            policy, attempt=attempt, elapsed_s=elapsed, left_s=100, dice=dice
        )
        if pause is None:
            break
        elapsed, attempt = elapsed + pause, attempt + 1

    assert attempt <= policy.max_attempts


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(budget_s=100, delay_s=0.1, max_delay_s=0.5)

    pauses = [
        pause_before_retry(policy, attempt=attempt, elapsed_s=0, left_s=100, dice=0.5)
        for attempt in range(1, 6)
    ]

    assert pauses == [0.1, 0.2, 0.4, 0.5, 0.5]


@given(st.integers(1, 100), seconds)
def test_a_breaker_opens_longer_with_each_failure_and_not_for_ever(
    failures: int, now: float
) -> None:
    breaker = CLOSED

    for _ in range(failures):
        before = breaker.open_until
        breaker = after_failure(breaker, now=now, avoid_s=1, max_avoid_s=8)

        assert not breaker.allows(now)
        assert before <= breaker.open_until <= now + 8

    assert breaker.allows(now + 8)
