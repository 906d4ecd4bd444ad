from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.batching import Limits, may_send, take

NOW = 100.0


@dataclass(frozen=True)
class Letter:
    number: int
    size: int
    deadline: float


letters = st.lists(st.tuples(st.integers(0, 50), st.floats(90, 110)), max_size=40).map(
    lambda pairs: [Letter(number, *pair) for number, pair in enumerate(pairs)]
)
limits = st.builds(
    Limits,
    max_count=st.integers(1, 10),
    max_bytes=st.integers(1, 100),
    calls_in_flight=st.integers(1, 4),
    worth_a_call=st.integers(1, 20),
)


@given(letters, limits)
def test_a_batch_keeps_the_caps_unless_its_only_message_is_too_large(
    waiting: list[Letter], caps: Limits
) -> None:
    taken = take(waiting, NOW, caps)

    assert len(taken.batch) <= caps.max_count
    assert sum(one.size for one in taken.batch) <= caps.max_bytes or len(taken.batch) == 1


@given(letters, limits)
def test_what_has_expired_is_never_sent(waiting: list[Letter], caps: Limits) -> None:
    taken = take(waiting, NOW, caps)

    assert all(one.deadline > NOW for one in taken.batch)
    assert all(one.deadline <= NOW for one in taken.expired)


@given(letters, limits)
def test_batches_carry_every_living_message_once_and_in_order(
    waiting: list[Letter], caps: Limits
) -> None:
    alive = [one for one in waiting if one.deadline > NOW]
    sent: list[Letter] = []

    while waiting:
        taken = take(waiting, NOW, caps)
        gone = {*taken.batch, *taken.expired}
        waiting = [one for one in waiting if one not in gone]
        sent.extend(taken.batch)

    assert sent == alive


@given(letters, limits)
def test_a_batch_is_as_long_as_the_caps_allow(waiting: list[Letter], caps: Limits) -> None:
    taken = take(waiting, NOW, caps)

    alive = [one for one in waiting if one.deadline > NOW]
    following = alive[len(taken.batch) :]
    if following and taken.batch:
        full = len(taken.batch) == caps.max_count
        total = sum(one.size for one in taken.batch) + following[0].size
        assert full or total > caps.max_bytes


@given(st.integers(0, 100), limits)
def test_an_idle_member_is_asked_at_once(waiting: int, caps: Limits) -> None:
    assert may_send(waiting, 0, caps) == (waiting > 0)


@given(st.integers(0, 100), st.integers(1, 10), limits)
def test_only_a_crowd_is_worth_a_call_beside_one_under_way(
    waiting: int, in_flight: int, caps: Limits
) -> None:
    free = in_flight < caps.calls_in_flight

    assert may_send(waiting, in_flight, caps) == (free and waiting >= caps.worth_a_call)
