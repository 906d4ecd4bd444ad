from collections import defaultdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.events import Priority
from actors.router.window import Delivery, Lane, Window, lane_of
from actors.runtime.message import Position
from actors.storage.frontier import Frontier
from tests.fixtures.router import stored_event

START = Position(10, 0)


def window(*, capacity: int = 2000, max_out: int = 8, reserved: float = 0.25) -> Window:
    return Window(Frontier.at(START), capacity=capacity, max_out=max_out, reserved=reserved)


def read_to(seq: int) -> Frontier:
    return Frontier.at(Position(10, seq))


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.event.event_id for delivery in deliveries]


def test_events_of_one_aggregate_go_out_one_after_the_other() -> None:
    subject = window()
    for seq in (1, 2):
        subject.add(stored_event(seq, aggregate="inc_1", version=seq))

    first = list(subject.take(now=0))
    while_out = list(subject.take(now=0))
    subject.finish(first[0])
    second = list(subject.take(now=0))

    assert (ids(first), ids(while_out), ids(second)) == (["evt_1"], [], ["evt_2"])


def test_an_event_that_another_brought_holds_the_cursor_where_it_was_read() -> None:
    subject = window()
    subject.add(stored_event(1, aggregate="inc_1"), read_at=Position(10, 5))
    subject.add(stored_event(7, aggregate="inc_2"))
    subject.place.frontier = read_to(9)

    held = subject.cursor
    first, second = subject.take(now=0)
    subject.finish(first)
    later = subject.cursor
    subject.finish(second)

    assert (held, later, subject.cursor) == (Position(10, 4), Position(10, 6), Position(10, 9))


def test_aggregates_go_out_side_by_side() -> None:
    subject = window()
    for seq in (1, 2, 3):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}"))

    out = list(subject.take(now=0))

    assert ids(out) == ["evt_1", "evt_2", "evt_3"]


def test_behind_a_thousand_low_events_a_critical_one_goes_next() -> None:
    subject = window()
    for seq in range(1, 1001):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}", priority=Priority.LOW))
    routine = list(subject.take(now=0))
    subject.add(stored_event(1001, aggregate="inc_x", priority=Priority.CRITICAL))

    urgent = list(subject.take(now=0))

    assert (len(routine), ids(urgent)) == (6, ["evt_1001"])


def test_a_flood_of_critical_events_leaves_low_ones_their_share() -> None:
    subject = window()
    for seq in range(1, 101):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}", priority=Priority.CRITICAL))
    subject.add(stored_event(101, aggregate="inc_low", priority=Priority.LOW))

    out = list(subject.take(now=0))

    assert "evt_101" in ids(out)
    assert sum(lane_of(one.event) is Lane.URGENT for one in out) == 6


def test_a_critical_event_pulls_forward_the_routine_ones_it_must_follow() -> None:
    subject = window(max_out=4)
    for seq in range(1, 50):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}"))
    subject.add(stored_event(50, aggregate="inc_x"))
    subject.add(stored_event(51, aggregate="inc_x", version=2, priority=Priority.CRITICAL))

    out = list(subject.take(now=0))

    assert out[0].event.event_id == "evt_50"


def test_the_cursor_stops_before_the_oldest_unfinished_event() -> None:
    subject = window()
    for seq in (5, 8):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}"))
    subject.place.frontier = read_to(9)
    first, second = subject.take(now=0)

    subject.finish(second)
    held = subject.cursor
    subject.finish(first)

    assert (held, subject.cursor) == (Position(10, 4), Position(10, 9))


def test_a_failed_event_rests_and_holds_up_only_its_own_aggregate() -> None:
    subject = window()
    subject.add(stored_event(1, aggregate="inc_1"))
    subject.add(stored_event(2, aggregate="inc_1", version=2))
    subject.add(stored_event(3, aggregate="inc_2"))
    failing, other = subject.take(now=0)
    subject.finish(other)
    subject.fail(failing, not_before=5)

    resting = list(subject.take(now=4.9))
    due = subject.next_due()
    awake = list(subject.take(now=5))

    assert (ids(resting), due, ids(awake)) == ([], 5, ["evt_1"])


def test_one_event_that_fails_for_long_neither_fills_the_window_nor_memory() -> None:
    subject = window(capacity=10, max_out=2)
    subject.add(stored_event(1, aggregate="inc_bad"))
    (bad,) = subject.take(now=0)
    subject.fail(bad, not_before=1e9)

    for seq in range(2, 1000):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}"))
        (delivery,) = subject.take(now=0)
        subject.finish(delivery)

    assert (subject.room, subject.cursor) == (9, START)
    assert len(subject._lowest) < 200


def test_a_delivery_cannot_be_finished_twice() -> None:
    subject = window()
    subject.add(stored_event(1))
    subject.add(stored_event(2, version=2))
    (delivery,) = subject.take(now=0)
    subject.finish(delivery)

    with pytest.raises(ValueError, match="not out"):
        subject.finish(delivery)


def test_what_commits_late_is_below_what_was_finished_before_and_holds_the_cursor() -> None:
    subject = window()
    subject.add(stored_event(8, aggregate="inc_8"))
    (early,) = subject.take(now=0)
    subject.finish(early)
    subject.place.frontier = Frontier(Position(10, 9), (Position(10, 4),))
    before = subject.cursor

    subject.add(stored_event(5, aggregate="inc_5"))
    subject.place.frontier = read_to(9)
    (late,) = subject.take(now=0)
    held = subject.cursor
    subject.finish(late)

    assert (before, held, subject.cursor) == (Position(10, 4), Position(10, 4), Position(10, 9))


def test_an_event_with_a_time_of_its_own_waits_for_it_and_so_does_its_aggregate() -> None:
    subject = window()
    subject.add(stored_event(1, aggregate="inc_1"), not_before=5)
    subject.add(stored_event(2, aggregate="inc_1", version=2), not_before=7)

    early, due = list(subject.take(now=4)), subject.next_due()
    (first,) = subject.take(now=5)
    subject.finish(first)
    between = list(subject.take(now=6))
    (second,) = subject.take(now=7)

    assert (early, due, between) == ([], 5, [])
    assert second.event.event_id == "evt_2"


def test_without_order_nothing_waits_for_its_aggregate() -> None:
    subject = Window(Frontier.at(START), capacity=10, max_out=8, reserved=0.25, by_aggregate=False)
    for seq in (1, 2, 3):
        subject.add(stored_event(seq, aggregate="inc_1", version=seq))

    assert ids(list(subject.take(now=0))) == ["evt_1", "evt_2", "evt_3"]


def test_of_suspects_one_is_out_at_a_time_and_others_are_not_held_up() -> None:
    subject = window()
    for seq in range(1, 5):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}"))
    for lost in list(subject.take(now=0))[:3]:
        lost.deaths += 1
        subject.fail(lost, not_before=0)
    subject.add(stored_event(5, aggregate="inc_5"))

    fresh, first = subject.take(now=0)
    meanwhile = list(subject.take(now=0))
    subject.finish(first)
    (second,) = subject.take(now=0)
    subject.fail(second, not_before=9)
    (third,) = subject.take(now=1)

    assert ids([fresh, first, second, third]) == ["evt_5", "evt_1", "evt_2", "evt_3"]
    assert meanwhile == []


def test_who_was_there_at_fewer_deaths_shows_for_itself_first() -> None:
    subject = window()
    for seq in (1, 2, 3):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}"))
    for lost, deaths in zip(list(subject.take(now=0)), (1, 2, 1), strict=True):
        lost.deaths = deaths
        subject.fail(lost, not_before=0)

    order = []
    for _ in range(3):
        (suspect,) = subject.take(now=0)
        order.append(suspect)
        subject.finish(suspect)

    assert ids(order) == ["evt_1", "evt_3", "evt_2"]


@given(st.floats(0.01, 0.5), st.integers(2, 200))
def test_both_lanes_always_have_a_slot_the_other_cannot_take(reserved: float, slots: int) -> None:
    subject = window(max_out=slots, reserved=reserved, capacity=1000)
    for seq in range(1, 301):
        subject.add(stored_event(seq, aggregate=f"inc_{seq}", priority=Priority.CRITICAL))
    subject.add(stored_event(301, aggregate="inc_low"))

    out = list(subject.take(now=0))

    assert "evt_301" in ids(out)
    assert len(out) <= slots


class AnyInterleaving(RuleBasedStateMachine):
    """Reading, delivering, acknowledging and failing in any order keep the three promises."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = window(capacity=12, max_out=4)
        self.now = 0.0
        self.seq = 0
        self.versions: dict[str, int] = defaultdict(int)
        self.out: list[Delivery] = []
        self.unfinished: dict[int, str] = {}
        self.finished: dict[str, list[int]] = defaultdict(list)

    @precondition(lambda self: self.subject.room > 0)
    @rule(aggregate=st.sampled_from("abcde"), priority=st.sampled_from(Priority))
    def read(self, aggregate: str, priority: Priority) -> None:
        self.seq += 1
        self.versions[aggregate] += 1
        event = stored_event(
            self.seq, aggregate=aggregate, version=self.versions[aggregate], priority=priority
        )
        self.subject.add(event)
        self.subject.place.frontier = read_to(self.seq)
        self.unfinished[self.seq] = aggregate

    @rule()
    def pass_over(self) -> None:
        self.seq += 1
        self.subject.place.frontier = read_to(self.seq)

    @rule()
    def begin(self) -> None:
        self.out += self.subject.take(self.now)
        per_lane = [delivery.lane for delivery in self.out]
        assert len(self.out) <= 4
        assert max(per_lane.count(lane) for lane in Lane) <= 3
        assert sum(delivery.suspect for delivery in self.out) <= 1

    @precondition(lambda self: self.out)
    @rule(which=st.randoms(use_true_random=False))
    def acknowledge(self, which: Random) -> None:
        delivery = self.out.pop(which.randrange(len(self.out)))
        self.subject.finish(delivery)
        event = delivery.event
        del self.unfinished[event.position.seq]
        self.finished[event.aggregate_id].append(event.aggregate_version)

    @precondition(lambda self: self.out)
    @rule(
        which=st.randoms(use_true_random=False),
        pause_s=st.integers(0, 3),
        handler_died=st.booleans(),
    )
    def fail(self, which: Random, pause_s: int, handler_died: bool) -> None:
        delivery = self.out.pop(which.randrange(len(self.out)))
        delivery.deaths += handler_died
        self.subject.fail(delivery, not_before=self.now + pause_s)

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def never_two_of_one_aggregate_are_out(self) -> None:
        aggregates = [delivery.event.aggregate_id for delivery in self.out]
        assert len(set(aggregates)) == len(aggregates)

    @invariant()
    def each_aggregate_is_finished_in_order(self) -> None:
        for versions in self.finished.values():
            assert versions == list(range(1, len(versions) + 1))

    @invariant()
    def the_cursor_passes_nothing_unfinished_and_nothing_is_forgotten(self) -> None:
        oldest = min(self.unfinished, default=None)
        if oldest is None:
            assert self.subject.cursor == self.subject.place.frontier.settled
        else:
            assert self.subject.cursor == Position(10, oldest - 1)
        assert self.subject.unfinished == len(self.unfinished)

    def teardown(self) -> None:
        """Whatever has happened: from here on, acknowledging everything empties the window."""
        self.now += 10
        for _ in range(len(self.unfinished) + 1):
            self.out += self.subject.take(self.now)
            while self.out:
                self.subject.finish(self.out.pop())
        assert self.subject.unfinished == 0
        assert self.subject.cursor == self.subject.place.frontier.settled


TestAnyInterleaving = AnyInterleaving.TestCase
