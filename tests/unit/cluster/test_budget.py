"""How often a part may die."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.budget import RestartBudget


def make(limit: int = 3) -> RestartBudget:
    return RestartBudget(
        limit=limit, window_s=60.0, delay_s=0.1, delay_max_s=0.5, rest_s=30.0, rest_max_s=100.0
    )


def test_each_restart_waits_longer_up_to_a_bound() -> None:
    budget = make(limit=5)

    delays = [budget.spend(float(second)) for second in range(5)]

    assert delays == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_the_budget_ends() -> None:
    budget = make(limit=2)

    answers = [budget.spend(0.0), budget.spend(1.0), budget.spend(2.0)]

    assert answers == [0.1, 0.2, None]


def test_old_restarts_are_forgotten() -> None:
    budget = make(limit=1)
    budget.spend(0.0)

    too_early, later = budget.spend(59.9), budget.spend(60.0)

    assert (too_early, later) == (None, 0.1)


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=200))
def test_no_window_ever_holds_more_restarts_than_allowed(gaps: list[float]) -> None:
    budget, now, spent = make(), 0.0, []
    for gap in gaps:
        now += gap

        if budget.spend(now) is not None:
            spent.append(now)

    assert all(sum(at - 60.0 < other <= at for other in spent) <= 3 for at in spent)


def test_after_a_rest_there_is_a_new_budget() -> None:
    budget = make(limit=1)
    budget.spend(0.0)
    used_up = budget.spend(1.0)

    rest_s = budget.rest(1.0)

    assert (used_up, rest_s, budget.spend(31.0)) == (None, 30.0, 0.1)


def test_each_rest_soon_after_another_is_longer_up_to_a_bound() -> None:
    budget, now = make(), 0.0
    rests = []

    for _ in range(4):
        rests.append(budget.rest(now))
        now += rests[-1] + 10

    assert rests == [30.0, 60.0, 100.0, 100.0]


def test_a_rest_after_a_calm_time_is_a_first_one() -> None:
    budget = make()
    budget.rest(0.0)
    budget.rest(40.0)

    rest_s = budget.rest(40.0 + 60.0 + 61.0)

    assert rest_s == 30.0
