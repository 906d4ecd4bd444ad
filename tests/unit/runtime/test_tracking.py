from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from actors.runtime import tracking
from actors.runtime.envelope import Snapshot
from actors.runtime.identity import MemberIdentity
from actors.runtime.supervision import Phase
from actors.runtime.tracking import Restarts, Track
from actors.settings import RuntimeSettings

SETTINGS = RuntimeSettings(
    health_misses=2,
    placement_timeout_s=60,
    drain_timeout_s=15,
    restart_window_s=60,
    restarts_allowed=3,
    quarantine_s=30,
    quarantine_max_s=100,
)
READY = Snapshot(
    identity=MemberIdentity("echo", 1, 0),
    incarnation="run_1",
    ready=True,
    draining=False,
    unfinished=0,
    waiting=0,
    handled=0,
    samples=(),
)
HEARD = tracking.after_answer(Track(pending_since=0), READY, now=1)


def test_a_new_member_is_pending_until_it_answers() -> None:
    assert tracking.phase(Track(pending_since=0), 59, SETTINGS) is Phase.PENDING
    assert tracking.phase(HEARD, 59, SETTINGS) is Phase.READY


def test_a_member_that_never_answers_could_not_be_placed() -> None:
    assert tracking.phase(Track(pending_since=0), 61, SETTINGS) is Phase.UNPLACED


def test_a_member_that_waits_for_its_database_is_opening() -> None:
    track = tracking.after_answer(HEARD, READY._replace(ready=False), now=1000)

    assert tracking.phase(track, 1000, SETTINGS) is Phase.OPENING


def test_a_member_that_opens_may_be_silent_for_longer() -> None:
    track = tracking.after_answer(HEARD, READY._replace(ready=False), now=2)
    for _ in range(5):
        track = tracking.after_silence(track)

    assert tracking.phase(track, 30, SETTINGS) is Phase.OPENING
    assert tracking.phase(track, 63, SETTINGS) is Phase.HUNG


def test_one_silence_is_forgiven_and_two_mean_that_it_hangs() -> None:
    once = tracking.after_silence(HEARD)
    twice = tracking.after_silence(once)

    assert tracking.phase(once, 9, SETTINGS) is Phase.READY
    assert tracking.phase(twice, 9, SETTINGS) is Phase.HUNG
    assert tracking.phase(tracking.after_answer(twice, READY, 9), 9, SETTINGS) is Phase.READY


def test_a_process_being_started_again_does_not_hang() -> None:
    died = tracking.after_death(HEARD, now=10)
    silent = tracking.after_silence(tracking.after_silence(tracking.after_silence(died)))

    assert tracking.phase(silent, 20, SETTINGS) is Phase.PENDING
    assert silent.restarts == 1


def test_a_death_that_is_noticed_twice_counts_once() -> None:
    died = tracking.after_death(HEARD, now=10)

    assert tracking.after_death(died, now=11) == died


def test_a_draining_member_is_done_when_it_is_empty() -> None:
    draining = replace(HEARD, draining_since=10.0)
    busy = tracking.after_answer(draining, READY._replace(draining=True, unfinished=3), now=11)
    empty = tracking.after_answer(draining, READY._replace(draining=True), now=12)

    assert tracking.phase(draining, 11, SETTINGS) is Phase.DRAINING
    assert tracking.phase(busy, 11, SETTINGS) is Phase.DRAINING
    assert tracking.phase(empty, 12, SETTINGS) is Phase.DRAINED


def test_a_draining_member_is_not_waited_for_without_end() -> None:
    busy = replace(HEARD, draining_since=10.0)

    assert tracking.phase(busy, 26, SETTINGS) is Phase.DRAINED


def test_a_member_found_draining_goes_on_draining() -> None:
    adopted = tracking.after_answer(Track(pending_since=0), READY._replace(draining=True), now=5)

    assert adopted.draining_since == 5


def test_too_many_restarts_end_in_a_rest_that_doubles() -> None:
    history = Restarts()
    for now in (1.0, 2.0, 3.0, 4.0):
        history = tracking.after_restart(history, now, SETTINGS)
    first = history.resting_until
    for now in (40.0, 41.0, 42.0, 43.0):
        history = tracking.after_restart(history, now, SETTINGS)

    assert first == 4 + 30
    assert history.resting_until == 43 + 60


def test_seldom_restarts_never_end_in_a_rest() -> None:
    history = Restarts()

    for number in range(50):
        history = tracking.after_restart(history, number * 61.0, SETTINGS)

    assert history.rests == 0


@given(st.lists(st.floats(0, 30), max_size=80))
def test_a_rest_is_never_longer_than_the_longest(pauses: list[float]) -> None:
    history, now = Restarts(), 0.0

    for pause in pauses:
        now = max(now, history.resting_until) + pause
        history = tracking.after_restart(history, now, SETTINGS)

        assert history.resting_until <= now + SETTINGS.quarantine_max_s
