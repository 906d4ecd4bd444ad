"""A reader that reads everything visible, against a log whose transactions commit in any order."""

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.runtime.message import Position
from actors.storage.frontier import Frontier, Snapshot


@dataclass
class Log:
    """What PostgreSQL would show: lines of committed transactions only."""

    next_xid: int = 10
    next_seq: int = 1
    open: dict[int, list[Position]] = field(default_factory=dict)
    committed: list[Position] = field(default_factory=list)

    def begin(self) -> None:
        self.open[self.next_xid] = []
        self.next_xid += 1

    def write(self, xid: int) -> None:
        self.open[xid].append(Position(xid, self.next_seq))
        self.next_seq += 1

    def commit(self, xid: int) -> None:
        self.committed += self.open.pop(xid)

    def roll_back(self, xid: int) -> None:
        del self.open[xid]

    def snapshot(self) -> Snapshot:
        return Snapshot(self.next_xid, frozenset(self.open))

    def behind(self, frontier: Frontier, limit: int) -> list[Position]:
        holes = {hole.xid: hole.seq for hole in frontier.holes}
        found = sorted(
            line
            for line in self.committed
            if line > frontier.upto or (line.xid in holes and line.seq > holes[line.xid])
        )
        return found[:limit]


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
