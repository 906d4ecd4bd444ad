import pytest

from actors.bus.messages import DeliveryPolicy
from actors.errors import (
    DeadlineExceeded,
    DependencyUnavailable,
    HandlerLost,
    InvalidTransition,
    NotFound,
    Overloaded,
    StaleIndex,
    VersionConflict,
)
from actors.router.failures import (
    GiveUp,
    Record,
    Retry,
    after_failure,
    describe,
    held_against_event,
    may_be_ones_fault,
    pause,
)

POLICY = DeliveryPolicy(max_attempts=3, backoff_s=(0.1, 0.5, 2.0))


@pytest.mark.parametrize(
    "error", [DependencyUnavailable("task"), Overloaded(1.0), StaleIndex("2-1", "1-1")]
)
def test_a_pool_that_is_away_or_full_is_not_the_events_fault(error: Exception) -> None:
    held = held_against_event(error, failing_for_s=599, others_served=True, patience_s=600)

    assert not held


@pytest.mark.parametrize(
    "error",
    [NotFound("incident", "x"), InvalidTransition("task", "a", "b"), VersionConflict("t", "k"),
     RuntimeError("bug"), HandlerLost("task")],
)  # fmt: skip
def test_a_handler_that_says_no_or_dies_counts(error: Exception) -> None:
    held = held_against_event(error, failing_for_s=0, others_served=False, patience_s=600)

    assert held


@pytest.mark.parametrize(
    ("error", "may_be"),
    [(RuntimeError("bug"), True), (DeadlineExceeded("x"), True), (HandlerLost("task"), True),
     (DependencyUnavailable("task"), False), (Overloaded(1.0), False),
     (StaleIndex("2-1", "1-1"), False)],
)  # fmt: skip
def test_one_event_may_have_failed_all_of_its_batch_unless_the_pool_is_away_or_full(
    error: Exception, may_be: bool
) -> None:
    assert may_be_ones_fault(error) is may_be


@pytest.mark.parametrize("others_served", [True, False])
def test_a_delivery_that_ran_out_of_time_counts_only_where_others_were_served(
    others_served: bool,
) -> None:
    error = DeadlineExceeded("the request")

    held = held_against_event(error, failing_for_s=60, others_served=others_served, patience_s=600)

    assert held is others_served


@pytest.mark.parametrize("receiver_down", [True, False])
def test_patience_ends(receiver_down: bool) -> None:
    error = DependencyUnavailable("task")

    held = held_against_event(
        error,
        failing_for_s=601,
        others_served=False,
        patience_s=600,
        receiver_down=receiver_down,
    )

    assert held


def test_a_receiver_that_tells_everybody_no_says_nothing_of_this_event() -> None:
    error = InvalidTransition("task", "a", "b")

    held = held_against_event(
        error, failing_for_s=599, others_served=False, patience_s=600, receiver_down=True
    )

    assert not held


def test_the_last_attempt_that_counts_gives_up_with_the_reason() -> None:
    record = Record(failures=9, counted=3, failing_for_s=30)

    verdict = after_failure(NotFound("incident", "inc_1"), record, POLICY, jitter=0)

    assert verdict == GiveUp("not_found: no such incident")


def test_pauses_follow_the_list_and_then_repeat_its_end() -> None:
    pauses = [pause((0.1, 0.5, 2.0), failures) for failures in (1, 2, 3, 4, 99)]

    assert pauses == [0.1, 0.5, 2.0, 2.0, 2.0]


def test_a_full_pool_is_left_alone_for_as_long_as_it_asks() -> None:
    record = Record(failures=1, counted=0, failing_for_s=0)

    verdict = after_failure(Overloaded(7.0), record, POLICY, jitter=0)

    assert verdict == Retry(7.0)


def test_jitter_lengthens_a_pause_by_at_most_a_quarter() -> None:
    record = Record(failures=2, counted=1, failing_for_s=0)

    verdict = after_failure(NotFound("task", "x"), record, POLICY, jitter=1)

    assert verdict == Retry(0.625)


def test_the_reason_tells_nothing_of_an_unexpected_failures_inside() -> None:
    assert describe(RuntimeError("password=hunter2")) == "RuntimeError"
