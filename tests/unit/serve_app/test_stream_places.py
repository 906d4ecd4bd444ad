"""A reader of a stream that is cut anywhere, while transactions commit in any order."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.runtime.message import Position
from actors.storage.frontier import Frontier
from serve_app.event_stream import resume_after
from tests.fixtures.open_transactions import Log

NOWHERE = Position(0, 0)


class Streaming(RuleBasedStateMachine):
    """Pages of any size, of which the reader gets any part before it is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.frontier = Frontier.at(NOWHERE)
        self.page_began_at = NOWHERE
        self.last_id = NOWHERE
        self.seen: list[Position] = []

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

    @rule(limit=st.integers(1, 5), taken=st.integers(0, 5))
    def stream_a_page(self, limit: int, taken: int) -> None:
        """Cut when less is taken than there is."""
        page = self.log.behind(self.frontier, limit)
        full = len(page) == limit
        after = self.frontier.after(page, self.log.snapshot(), truncated=full)
        resume = self.page_began_at
        for position in page[:taken]:
            resume = resume_after(position, resume, after.settled)
            self.seen.append(position)
            self.last_id = resume
        if taken < len(page):
            self.come_again()
        else:
            self.frontier, self.page_began_at = after, after.settled

    @rule()
    def come_again(self) -> None:
        """With the last id that was seen."""
        self.frontier, self.page_began_at = Frontier.at(self.last_id), self.last_id

    @invariant()
    def nothing_at_or_below_the_last_id_is_missing_or_still_open(self) -> None:
        seen = set(self.seen)
        missing = {line for line in self.log.committed if line not in seen}
        waiting = {line for lines in self.log.open.values() for line in lines}
        assert all(line > self.last_id for line in missing | waiting)

    def teardown(self) -> None:
        for xid in sorted(self.log.open):
            self.log.commit(xid)
        self.come_again()
        while page := self.log.behind(self.frontier, 3):
            self.seen += page
            self.frontier = self.frontier.after(page, self.log.snapshot(), truncated=len(page) == 3)
        assert set(self.seen) == set(self.log.committed)


TestStreaming = Streaming.TestCase
TestStreaming.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_without_open_transactions_every_id_is_the_position_of_its_event() -> None:
    shown = [Position(5, 1), Position(5, 2), Position(7, 3)]
    resume = Position(4, 9)

    ids = []
    for position in shown:
        resume = resume_after(position, resume, Position(8, 0))
        ids.append(resume)

    assert ids == shown
