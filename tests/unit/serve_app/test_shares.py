"""Quotas in windows, on a clock of the test."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serve_app.shares import Policy, Shares, Standing

NOON = 1_800_000_000.0


def serve(shares: Shares, holder: str) -> None:
    """As `Limiter` does it."""
    shares.share(holder, shares.window(NOON)).held -= 1


def policy(**changed: int) -> Policy:
    fields = {"quota": 10, "window_s": 10, "lease": 4, "alone": 3, "holders": 100}
    return Policy(name="principal", **{**fields, **changed})


def test_who_has_drawn_nothing_must_draw_first() -> None:
    shares = Shares(policy())

    assert shares.standing("a", NOON) is Standing.EMPTY


def test_a_lease_serves_as_many_requests_as_were_drawn() -> None:
    shares = Shares(policy())

    shares.draw("a", shares.window(NOON), asked=4, total=4)
    for _ in range(4):
        assert shares.standing("a", NOON) is Standing.READY
        serve(shares, "a")

    assert shares.standing("a", NOON) is Standing.EMPTY


def test_what_lies_above_the_quota_is_not_granted() -> None:
    shares = Shares(policy())

    shares.draw("a", shares.window(NOON), asked=4, total=12)

    assert shares.left("a", NOON) == 2
    serve(shares, "a")
    serve(shares, "a")
    assert shares.standing("a", NOON) is Standing.SPENT


def test_a_new_window_begins_with_nothing_drawn_and_nothing_spent() -> None:
    shares = Shares(policy())
    shares.draw("a", shares.window(NOON), asked=4, total=40)

    assert shares.standing("a", NOON) is Standing.SPENT
    assert shares.standing("a", NOON + 10) is Standing.EMPTY


def test_a_draw_from_a_window_that_is_over_changes_nothing() -> None:
    shares = Shares(policy())
    shares.standing("a", NOON + 10)

    shares.draw("a", shares.window(NOON), asked=4, total=4)

    assert shares.standing("a", NOON + 10) is Standing.EMPTY


def test_alone_a_replica_serves_its_own_part_and_no_more() -> None:
    shares = Shares(policy(alone=3))

    served = 0
    for _ in range(10):
        if shares.standing("a", NOON) is Standing.EMPTY:
            shares.draw_alone("a", NOON)
        if shares.standing("a", NOON) is Standing.READY:
            serve(shares, "a")
            served += 1

    assert served == 3
    assert shares.standing("a", NOON) is Standing.EMPTY


def test_holders_are_forgotten_by_age_and_never_more_than_the_bound() -> None:
    shares = Shares(policy(holders=3))
    for name in "abc":
        shares.draw_alone(name, NOON)
    shares.standing("a", NOON)

    shares.draw_alone("d", NOON)

    assert len(shares) == 3
    assert shares.standing("a", NOON) is Standing.READY
    assert shares.standing("b", NOON) is Standing.EMPTY


def test_the_window_ends_in_whole_seconds_and_never_in_none() -> None:
    shares = Shares(policy(window_s=10))

    assert [shares.ends_in_s(NOON + after) for after in (0, 0.5, 9.2, 9.999)] == [10, 10, 1, 1]


@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab")), max_size=200),
    quota=st.integers(1, 30),
    lease=st.integers(1, 12),
)
def test_replicas_together_serve_the_quota_and_hold_back_at_most_their_leases(
    turns: list[tuple[int, str]], quota: int, lease: int
) -> None:
    replicas = [Shares(policy(quota=quota, lease=lease)) for _ in range(3)]
    counted: Counter[str] = Counter()
    served: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    for number, holder in turns:
        shares = replicas[number]
        if shares.standing(holder, NOON) is Standing.EMPTY:
            counted[holder] += lease
            shares.draw(holder, shares.window(NOON), lease, counted[holder])
        if shares.standing(holder, NOON) is Standing.READY:
            serve(shares, holder)
            served[holder] += 1
        else:
            refused[holder] += 1

    for holder in "ab":
        assert served[holder] <= quota
        if refused[holder]:
            assert served[holder] > quota - 2 * lease - 1


def test_what_was_used_alone_does_not_close_the_window_once_the_count_is_back() -> None:
    shares = Shares(policy(quota=10, lease=4, alone=1))
    shares.draw_alone("a", NOON)
    serve(shares, "a")
    shares.draw_alone("a", NOON)

    alone = shares.standing("a", NOON)
    shares.draw("a", shares.window(NOON), asked=4, total=4)

    assert alone is Standing.EMPTY
    assert shares.standing("a", NOON) is Standing.READY
