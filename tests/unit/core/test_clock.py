"""Ids and time."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from actors import clock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_id_is_its_prefix_and_26_characters() -> None:
    assert re.fullmatch(clock.ID_PATTERN, clock.new_id("inc"))


def test_fresh_ids_differ() -> None:
    assert len({clock.new_id("evt") for _ in range(1000)}) == 1000


def test_threads_make_different_ids() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = [*threads.map(clock.new_id, ["evt"] * 4000)]

    assert len(set(made)) == 4000


def test_a_process_and_its_child_make_different_ids() -> None:
    for _ in range(2):  # the second makes others ready where the first took the last one
        clock.new_id("evt")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, "".join(clock.new_id("evt")[-16:] for _ in range(2)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    os.waitpid(child, 0)

    assert len(theirs) == 32
    assert clock.new_id("evt")[-16:] not in {theirs[:16], theirs[16:]}


@given(st.text(), st.text())
def test_a_derived_id_is_the_same_for_the_same_cause_only(one: str, other: str) -> None:
    same = clock.derived_id("task", NOON, one) == clock.derived_id("task", NOON, other)

    assert same == (one == other)


def test_the_parts_of_a_cause_do_not_run_together() -> None:
    assert clock.derived_id("task", NOON, "ab", "c") != clock.derived_id("task", NOON, "a", "bc")


@given(st.integers(min_value=1, max_value=10**9))
def test_ids_sort_by_time(milliseconds: int) -> None:
    earlier = clock.derived_id("task", NOON, "z")
    later = clock.derived_id("task", NOON + timedelta(milliseconds=milliseconds), "a")

    assert earlier < later


def test_now_is_utc_and_has_whole_milliseconds() -> None:
    moment = clock.now()

    assert moment.tzinfo is UTC
    assert moment.microsecond % 1000 == 0


def test_many_ids_at_once_are_like_single_ones() -> None:
    single = clock.new_id("evt")

    ids = clock.new_ids("evt", 1000)

    assert len(set(ids)) == 1000
    assert all(re.fullmatch(clock.ID_PATTERN, one) for one in ids)
    assert all(one[:14] >= single[:14] for one in ids)
