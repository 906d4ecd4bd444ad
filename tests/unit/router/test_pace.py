"""A receiver that fails is left alone, tried with one request at a time, and trusted again."""

from hypothesis import given
from hypothesis import strategies as st

from actors.router.pace import Pace


def pace(**changes: float | None) -> Pace:
    fields = {"rest_after": 3, "rest_s": 1.0, "rest_max_s": 8.0, **changes}
    return Pace(**fields)  # type: ignore[arg-type]  # the test's own numbers


def test_while_nothing_fails_as_many_go_as_may_go_at_once() -> None:
    free, bounded = pace(), pace(at_once=8)

    assert free.room(0, 1000) is None
    assert [bounded.room(0, under_way) for under_way in (0, 5, 8, 9)] == [8, 3, 0, 0]
    assert bounded.opens_at(0) is None


def test_so_many_failures_in_a_row_begin_a_rest_and_a_success_between_them_does_not() -> None:
    tired, lucky = pace(), pace()

    rests = [tired.failed(0) for _ in range(3)]
    for _ in range(10):
        lucky.failed(0)
        lucky.failed(0)
        lucky.succeeded()

    assert rests == [None, None, 1.0]
    assert (tired.room(0.9, 0), tired.opens_at(0.9)) == (0, 1.0)
    assert lucky.room(0, 0) is None


def test_failures_of_what_was_under_way_do_not_lengthen_the_rest() -> None:
    tired = pace()
    for _ in range(3):
        tired.failed(0)

    assert [tired.failed(0.5) for _ in range(60)] == [None] * 60
    assert tired.opens_at(0.5) == 1.0


def test_after_a_rest_one_request_at_a_time_shows_whether_the_receiver_is_back() -> None:
    tired = pace(at_once=8)
    for _ in range(3):
        tired.failed(0)

    probing = [tired.room(1.0, under_way) for under_way in (0, 1)]
    tired.succeeded()

    assert probing == [1, 0]
    assert tired.room(1.0, 0) == 8


def test_each_further_rest_is_twice_as_long_up_to_the_longest() -> None:
    tired = pace()
    now, rests = 0.0, list[float]()
    for _ in range(2):
        tired.failed(now)

    for _ in range(6):
        rest_s = tired.failed(now)
        assert rest_s is not None
        rests.append(rest_s)
        now += rest_s

    assert rests == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_pause_that_is_asked_for_is_kept_whatever_else_succeeds() -> None:
    asked = pace()

    rest_s = asked.failed(0, 7.0)
    asked.succeeded()

    assert rest_s == 7.0
    assert (asked.room(6.9, 0), asked.opens_at(0), asked.room(7.0, 0)) == (0, 7.0, None)


def test_who_asks_for_too_little_again_and_again_is_left_alone_for_longer() -> None:
    asked = pace()
    now = 0.0

    for _ in range(8):
        now += asked.failed(now, 0.1) or 0.0

    assert asked.failed(now, 0.1) == 8.0


def test_a_rate_lets_a_seconds_worth_go_at_once_and_then_one_after_the_other() -> None:
    rated = pace(per_minute=120)

    at_first = rated.room(0, 0)
    for _ in range(2):
        rated.begun(0)
    waits_until = rated.opens_at(0)
    rooms = [rated.room(now, 0) for now in (0.0, 0.4, 0.5, 1.0, 60.0)]

    assert (at_first, waits_until) == (2, 0.5)
    assert rooms == [0, 0, 1, 2, 2]


def test_a_rate_below_one_a_second_still_lets_one_go() -> None:
    slow = pace(per_minute=6)

    slow.begun(0)

    assert (slow.room(0, 0), slow.opens_at(0), slow.room(10, 0)) == (0, 10.0, 1)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=60), st.integers(1, 600))
def test_no_minute_sees_more_requests_than_its_rate_and_a_seconds_worth(
    steps: list[tuple[bool, float]], per_minute: int
) -> None:
    rated = pace(per_minute=per_minute)
    now, begun = 0.0, list[float]()

    for greedy, passes_s in steps:
        for _ in range(rated.room(now, 0) or 0 if greedy else 0):
            rated.begun(now)
            begun.append(now)
        now += passes_s

    for at in begun:
        within = sum(at <= one < at + 60 for one in begun)
        assert within <= per_minute + max(1, per_minute / 60) + 1e-6


@given(st.lists(st.sampled_from(["fail", "succeed", "wait"]), max_size=80))
def test_it_always_opens_again(steps: list[str]) -> None:
    tired = pace(at_once=4, per_minute=60)
    now = 0.0

    for step in steps:
        match step:
            case "fail":
                tired.failed(now)
            case "succeed":
                tired.succeeded()
            case _:
                now += 0.7
        opens_at = tired.opens_at(now)
        assert tired.room(now, 0) or opens_at is not None
        if opens_at is not None:
            assert now < opens_at <= now + 8.0
            assert tired.room(opens_at, 0)
