"""Who waits for the log is served at once, and who has waited long does not wear it out."""

import asyncio

import pytest

from actors.rag.tail_pace import TailPace
from actors.settings import IndexSettings

NEVER_S = 1e6


@pytest.fixture
def endless() -> TailPace:
    return TailPace(IndexSettings(tail_hurry_s=NEVER_S, tail_poll_s=NEVER_S))


async def test_who_comes_during_a_look_has_the_next_one_at_once(endless: TailPace) -> None:
    endless.looks()

    with endless.hurried():
        await endless.pause()


async def test_who_comes_during_a_pause_ends_it(endless: TailPace) -> None:
    endless.looks()
    pausing = asyncio.create_task(endless.pause())
    await asyncio.sleep(0)

    with endless.hurried():
        await pausing


def test_looks_that_find_nothing_become_rarer_until_one_finds_something() -> None:
    pace = TailPace(IndexSettings(tail_hurry_s=0.01, tail_poll_s=0.03))

    with pace.hurried():
        pace.looks()
        fruitless = [pace.next_s() for _ in range(5)]
        pace.found()
        fruitful = pace.next_s()

    assert fruitless == pytest.approx([0.01, 0.015, 0.0225, 0.03, 0.03])
    assert fruitful == 0.01


def test_who_comes_anew_is_not_slowed_down_by_who_has_waited_long() -> None:
    pace = TailPace(IndexSettings(tail_hurry_s=0.01, tail_poll_s=0.25))

    with pace.hurried():
        pace.looks()
        for _ in range(5):
            pace.next_s()
        with pace.hurried():
            pace.looks()
            assert pace.next_s() == 0.01


def test_where_nobody_waits_the_log_is_polled_slowly() -> None:
    pace = TailPace(IndexSettings(tail_hurry_s=0.01, tail_poll_s=0.25))

    with pace.hurried():
        pass
    pace.looks()

    assert pace.next_s() == 0.25
