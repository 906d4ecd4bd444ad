from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.sizing import STEADY, Trend, resize
from actors.settings import RuntimeSettings

SETTINGS = RuntimeSettings(grow_above=10, grow_after_s=3, shrink_below=2, shrink_after_s=30)


def look(
    trend: Trend, load: int, size: int, now: float, bounds: tuple[int, int] = (1, 4)
) -> tuple[Trend, int]:
    return resize(
        trend, load=load, ready=size, size=size, bounds=bounds, now=now, settings=SETTINGS
    )


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 60)), max_size=50), st.integers(0, 9))
def test_a_size_is_always_within_its_bounds_and_moves_by_one(
    looks: list[tuple[int, float]], size: int
) -> None:
    trend, now = STEADY, 0.0
    _, size = look(trend, 0, size, now)

    for load, pause in looks:
        now += pause
        before = size
        trend, size = look(trend, load, size, now)

        assert 1 <= size <= 4
        assert abs(size - before) <= 1


@given(st.integers(1, 4), st.integers(0, 1000))
def test_no_load_makes_a_pool_both_grow_and_shrink(size: int, load: int) -> None:
    trend, _ = look(STEADY, load, size, 0)

    assert trend.high_since is None or trend.low_since is None


@given(st.integers(1, 3))
def test_a_load_that_made_a_pool_grow_does_not_make_it_shrink(size: int) -> None:
    load = SETTINGS.grow_above * size + 1

    trend, _ = look(STEADY, load, size + 1, 0)

    assert trend.low_since is None


def test_a_short_burst_changes_nothing() -> None:
    trend, size = look(STEADY, 100, 1, now=0)
    trend, size = look(trend, 0, size, now=2)

    trend, size = look(trend, 100, size, now=4)

    assert size == 1


def test_lasting_pressure_adds_one_member_and_starts_counting_anew() -> None:
    trend, size = look(STEADY, 100, 1, now=0)

    trend, size = look(trend, 100, size, now=3)

    assert (trend, size) == (STEADY, 2)


def test_a_long_quiet_removes_one_member() -> None:
    trend, size = look(STEADY, 0, 3, now=0)

    trend, size = look(trend, 0, size, now=30)

    assert size == 2


def test_the_smallest_size_stays() -> None:
    trend, size = look(STEADY, 0, 2, now=0, bounds=(2, 4))

    _, size = look(trend, 0, size, now=1000, bounds=(2, 4))

    assert size == 2
