"""How far the meaning is behind the words."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from actors.rag.dense_backlog import DenseBacklog, beginning
from actors.runtime.message import Position

NOW = Position(9, 4)


def test_what_waits_since_the_beginning_holds_every_position_back() -> None:
    backlog = DenseBacklog()

    backlog.waits("doc_1", beginning(NOW.epoch))

    assert backlog.reached(NOW) == Position(0, 0, NOW.epoch)
    assert not backlog.has(Position(1, 1, NOW.epoch))
    backlog.done("doc_1")
    assert backlog.reached(NOW) == NOW


def test_what_waits_since_an_event_holds_back_that_event_alone() -> None:
    backlog = DenseBacklog()

    backlog.waits("doc_1", Position(7, 2))
    backlog.waits("doc_1", Position(8, 1))

    assert backlog.reached(NOW) == Position(7, 1)
    assert [backlog.has(Position(7, seq)) for seq in (1, 2)] == [True, False]


def test_of_several_causes_the_lowest_holds_back_in_whatever_order_they_are_read() -> None:
    backlog = DenseBacklog()

    backlog.waits("doc_1", Position(8, 1))
    backlog.waits("doc_1", Position(7, 2))

    assert backlog.reached(NOW) == Position(7, 1)


def test_what_is_known_to_wait_since_an_event_does_not_wait_since_the_beginning() -> None:
    backlog = DenseBacklog()
    backlog.waits("doc_1", Position(7, 2))

    backlog.waits_already("doc_1", NOW.epoch)

    assert backlog.reached(NOW) == Position(7, 1)


def test_what_came_and_went_is_not_kept_behind_what_waits_for_ever() -> None:
    backlog = DenseBacklog()
    backlog.waits("doc_0", Position(1, 1))

    for number in range(2, 5_000):
        backlog.waits(f"doc_{number}", Position(number, 1))
        backlog.done(f"doc_{number}")

    assert len(pickle.dumps(backlog)) < 10_000
    assert backlog.reached(NOW) == Position(1, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(1, 9))), max_size=200
    )
)
def test_whatever_comes_and_goes_the_first_of_what_is_left_holds_back(
    changes: list[tuple[str, int | None]],
) -> None:
    backlog, left = DenseBacklog(), dict[str, int]()

    for source_id, xid in changes:
        if xid is None:
            backlog.done(source_id)
            left.pop(source_id, None)
        else:
            backlog.waits(source_id, Position(xid, 1))
            left[source_id] = min(xid, left.get(source_id, xid))

    first = min(left.values(), default=None)
    assert backlog.reached(Position(10, 1)) == Position(first or 10, 0 if first else 1)
