"""A reader that reads everything visible, against a log whose transactions commit in any order."""

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.runtime.message import Position
from actors.storage.frontier import Frontier, Snapshot
from tests.fixtures.open_transactions import Log


class Reading(RuleBasedStateMachine):
    """Any mixture of slow and fast transactions, and pages of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.frontier = Frontier.at(Position(0, 0))
        self.read: list[Position] = []

    @rule()
    def begin(self) -> None:
        self.log.begin()

    @precondition(lambda self: self.log.open)
    @rule(data=st.data(), lines=st.integers(0, 4))
    def write(self, data: st.DataObject, lines: int) -> None:
        xid = data.draw(st.sampled_from(sorted(self.log.open)))
        for _ in range(lines):
            self.log.write(xid)

    @precondition(lambda self: self.log.open)
    @rule(data=st.data(), kept=st.booleans())
    def end(self, data: st.DataObject, kept: bool) -> None:
        xid = data.draw(st.sampled_from(sorted(self.log.open)))
        if kept:
            self.log.commit(xid)
        else:
            self.log.roll_back(xid)

    @rule(limit=st.integers(1, 5))
    def read_a_page(self, limit: int) -> None:
        page = self.log.behind(self.frontier, limit)
        self.read += page
        self.frontier = self.frontier.after(page, self.log.snapshot(), truncated=len(page) == limit)

    @rule()
    def restart_at_the_cursor(self) -> None:
        cursor = self.frontier.settled
        self.read = [line for line in self.read if line <= cursor]
        self.frontier = Frontier.at(cursor)

    @invariant()
    def nothing_is_read_twice(self) -> None:
        assert len(self.read) == len(set(self.read))

    @invariant()
    def what_the_frontier_covers_is_what_was_read(self) -> None:
        read = set(self.read)
        assert all((line in read) == self.frontier.covers(line) for line in self.log.committed)

    @invariant()
    def a_cursor_passes_nothing_that_is_unread_or_still_open(self) -> None:
        settled = self.frontier.settled
        unread = set(self.log.committed) - set(self.read)
        waiting = {line for lines in self.log.open.values() for line in lines}
        assert all(line > settled for line in unread | waiting)

    def teardown(self) -> None:
        for xid in sorted(self.log.open):
            self.log.commit(xid)
        while page := self.log.behind(self.frontier, 3):
            self.read += page
            self.frontier = self.frontier.after(page, self.log.snapshot(), truncated=len(page) == 3)
        assert sorted(self.read) == sorted(self.log.committed)


TestReading = Reading.TestCase
TestReading.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


@given(xids=st.sets(st.integers(5, 90)), xmax=st.integers(91, 99))
def test_readers_who_caught_up_on_one_snapshot_stand_at_the_same_frontier(
    xids: set[int], xmax: int
) -> None:
    snapshot = Snapshot(xmax, frozenset(xids))
    slow, fast = Frontier.at(Position(3, 1)), Frontier(Position(50, 2), (Position(40, 0),))

    frontiers = {one.after([], snapshot, truncated=False) for one in (slow, fast)}

    assert len(frontiers) == 1


def test_a_snapshot_is_read_from_the_servers_text() -> None:
    assert Snapshot.parse("10:20:10,14,15") == Snapshot(20, frozenset({10, 14, 15}))
    assert Snapshot.parse("10:10:") == Snapshot(10, frozenset())
