from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.sizing import STEADY, Pressure, Reason, Sized, Trend, resize
from actors.settings import RuntimeSettings

SETTINGS = RuntimeSettings(
    grow_above=10,
    grow_wait_s=0.5,
    grow_busy=0.8,
    grow_after_s=3,
    shrink_below=2,
    shrink_busy=0.5,
    shrink_after_s=30,
    shrink_patience_max=8,
)
PRESSURES = st.builds(
    Pressure,
    load=st.integers(0, 500),
    ready=st.integers(0, 9),
    coming=st.integers(0, 2),
    oldest_wait_s=st.floats(0, 3),
    busy=st.floats(0, 1),
)


def look(
    trend: Trend,
    pressure: Pressure | int,
    size: int,
    now: float,
    bounds: tuple[int, int] = (1, 4),
) -> Sized:
    """One look; a number is a load on members that are all ready."""
    if isinstance(pressure, int):
        pressure = Pressure(load=pressure, ready=size)
    return resize(trend, pressure, size=size, bounds=bounds, now=now, settings=SETTINGS)


@dataclass
class Pool:
    """A pool under a pressure that depends on its size, looked at once a second."""

    size: int
    trend: Trend = STEADY
    now: float = 0.0
    changes: int = 0

    def pass_time(self, seconds: int, pressure: Pressure, bounds: tuple[int, int]) -> None:
        for _ in range(seconds):
            self.now += 1
            seen = replace(pressure, ready=self.size)
            sized = look(self.trend, seen, self.size, self.now, bounds)
            self.changes += sized.size != self.size
            self.trend, self.size = sized.trend, sized.size


@given(st.lists(st.tuples(PRESSURES, st.floats(0, 60)), max_size=50), st.integers(0, 9))
def test_a_size_is_always_within_its_bounds_and_never_more_than_doubles(
    looks: list[tuple[Pressure, float]], size: int
) -> None:
    trend, now = STEADY, 0.0
    size = look(trend, 0, size, now).size

    for pressure, pause in looks:
        now += pause
        before = size
        sized = look(trend, pressure, size, now)
        trend, size = sized.trend, sized.size

        assert 1 <= size <= 4
        assert before - 1 <= size <= 2 * before


@given(PRESSURES, st.integers(1, 4))
def test_no_pressure_makes_a_pool_both_grow_and_shrink(pressure: Pressure, size: int) -> None:
    trend = look(STEADY, pressure, size, 0).trend

    assert trend.high_since is None or trend.low_since is None


@given(st.integers(1, 3))
def test_a_load_that_made_a_pool_grow_does_not_make_it_shrink(size: int) -> None:
    load = SETTINGS.grow_above * size + 1

    trend = look(STEADY, load, size + 1, 0).trend

    assert trend.low_since is None


@given(st.integers(0, 200), st.integers(1, 8))
def test_a_constant_load_moves_a_pool_in_one_direction_until_it_stays(load: int, size: int) -> None:
    pool, sizes = Pool(size), [size]

    for _ in range(600):
        pool.pass_time(1, Pressure(load=load, ready=0), bounds=(1, 8))
        sizes.append(pool.size)

    assert sizes in (sorted(sizes), sorted(sizes, reverse=True))
    assert len(set(sizes[-200:])) == 1


@pytest.mark.parametrize("needed", [2, 5])
def test_work_that_shows_only_where_members_are_missing_is_missed_ever_less_often(
    needed: int,
) -> None:
    pool, within_first_hour = Pool(needed), 0

    for _ in range(4 * 3600):
        missing = pool.size < needed
        waiting = Pressure(load=1, ready=0, oldest_wait_s=2.0 if missing else 0.0)
        pool.pass_time(1, waiting, bounds=(1, 8))
        if pool.now == 3600:
            within_first_hour = pool.changes

    assert within_first_hour <= 40
    assert (pool.changes - within_first_hour) / 3 <= 32


@given(PRESSURES, st.integers(1, 8), st.integers(1, 3))
def test_a_pool_with_nothing_to_do_comes_down_to_its_smallest_size(
    before: Pressure, size: int, smallest: int
) -> None:
    pool = Pool(max(size, smallest))
    pool.pass_time(60, before, bounds=(smallest, 8))

    pool.pass_time(8 * 31 * 8, Pressure(load=0, ready=0), bounds=(smallest, 8))

    assert pool.size == smallest


def test_a_short_burst_changes_nothing() -> None:
    first = look(STEADY, 100, 1, now=0)
    second = look(first.trend, 0, 1, now=2)

    third = look(second.trend, 100, 1, now=4)

    assert (third.size, third.reason) == (1, Reason.STEADY)


def test_lasting_pressure_grows_a_pool_and_starts_counting_anew() -> None:
    first = look(STEADY, 100, 1, now=0)

    second = look(first.trend, 100, 1, now=3)

    assert second == Sized(STEADY, 2, Reason.LOAD)


def test_a_great_load_brings_as_many_as_it_needs_at_once_up_to_twice_the_size() -> None:
    first = look(STEADY, 55, 3, now=0, bounds=(1, 16))

    some = look(first.trend, 55, 3, now=3, bounds=(1, 16))
    most = look(first.trend, 500, 3, now=3, bounds=(1, 16))

    assert (some.size, most.size) == (6, 6)
    assert look(first.trend, 41, 3, now=3, bounds=(1, 16)).size == 5


def test_messages_that_wait_long_grow_a_pool_that_has_few() -> None:
    waiting = Pressure(load=2, ready=1, oldest_wait_s=0.6)
    first = look(STEADY, waiting, 1, now=0)

    second = look(first.trend, waiting, 1, now=3)

    assert (second.size, second.reason) == (2, Reason.WAIT)


def test_members_that_are_at_work_all_the_time_get_help_if_anybody_waits_for_them() -> None:
    waited_for, alone = Pressure(load=3, ready=2, busy=0.9), Pressure(load=2, ready=2, busy=0.9)

    first = look(STEADY, waited_for, 2, now=0)

    assert look(first.trend, waited_for, 2, now=3).reason is Reason.BUSY
    assert look(STEADY, alone, 2, now=0).trend.high_since is None


def test_no_more_are_asked_for_while_the_last_ones_are_on_the_way() -> None:
    waiting = Pressure(load=100, ready=1, coming=1)
    first = look(STEADY, waiting, 2, now=0)

    second = look(first.trend, waiting, 2, now=30)

    assert second.size == 2


def test_a_long_quiet_removes_one_member() -> None:
    first = look(STEADY, 0, 3, now=0)

    second = look(first.trend, 0, 3, now=30)

    assert (second.size, second.reason) == (2, Reason.QUIET)


def test_members_that_would_be_busy_without_one_of_them_keep_it() -> None:
    first = look(STEADY, Pressure(load=0, ready=2, busy=0.3), 2, now=0)

    assert first.trend.low_since is None


def test_a_pool_that_nobody_answers_for_is_not_quiet() -> None:
    first = look(STEADY, Pressure(load=0, ready=0, coming=0), 3, now=0)

    second = look(first.trend, Pressure(load=0, ready=0), 3, now=1000)

    assert second.size == 3


def test_a_member_that_was_missed_soon_is_let_go_only_after_twice_the_time() -> None:
    shrunk = look(look(STEADY, 0, 3, now=0).trend, 0, 3, now=30)
    grown = look(look(shrunk.trend, 100, 2, now=31).trend, 100, 2, now=34)

    quiet = look(grown.trend, 0, 3, now=40)

    assert look(quiet.trend, 0, 3, now=70).size == 3
    assert look(quiet.trend, 0, 3, now=100).size == 2


def test_the_smallest_size_stays() -> None:
    first = look(STEADY, 0, 2, now=0, bounds=(2, 4))

    second = look(first.trend, 0, 2, now=1000, bounds=(2, 4))

    assert second.size == 2
