"""How far the meaning is behind the words."""

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
