"""What clients noticed of a fault, from single answers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.faults.availability.noticed import Answer, Noticed, noticed, outage_s
from benchmarks.faults.availability.overload import Overloaded
from benchmarks.faults.availability.report import details, report
from benchmarks.faults.availability.rows import Outcome
from benchmarks.faults.availability.traffic import QUESTION
from benchmarks.faults.plan import PARTS, STACK, parts
from serve_app.schemas.rag import SearchIn

ROW = Noticed(
    target="gateway",
    reads=100,
    failed=0,
    outage_s=0.0,
    read_p99_ms=20.0,
    writes=20,
    writes_failed=0,
    slowest_write_s=0.1,
    there_again_s=4.0,
)
OVER = Overloaded(
    capacity_rps=100.0,
    sent_rps=300.0,
    seconds=10.0,
    good=1_000,
    refused=2_000,
    unadvised=0,
    failed=0,
    good_p99_ms=900.0,
    refused_p99_ms=5.0,
)
SOUND = Outcome(rows=(ROW,), overloaded=OVER, acknowledged=20, lost=0, doubled=0)


def read(sent_s: float, *, good: bool = True, seconds: float = 0.1) -> Answer:
    status = 200 if good else 503
    return Answer(write=False, sent_s=sent_s, seconds=seconds, status=status, good=good)


def unmet(outcome: Outcome) -> set[str]:
    return {goal.name for goal in report(outcome).goals if not goal.met}


def test_an_outage_lasts_from_the_first_failure_to_the_next_good_answer_after_the_last() -> None:
    reads = [read(1), read(2, good=False), read(3), read(4, good=False), read(6), read(7)]

    assert outage_s(reads) == 4.0


def test_an_outage_that_nobody_saw_the_end_of_lasts_until_the_last_answer() -> None:
    assert outage_s([read(1), read(2, good=False), read(3, good=False, seconds=5.0)]) == 6.0


@given(st.lists(st.floats(0, 1_000), max_size=20))
def test_where_all_is_good_there_is_no_outage(moments: list[float]) -> None:
    assert outage_s([read(moment) for moment in sorted(moments)]) == 0.0


def test_reads_and_writes_are_told_apart_in_whatever_order_they_were_over() -> None:
    write = Answer(write=True, sent_s=1.5, seconds=3.0, status=201, good=True)
    lost = replace(write, sent_s=1.0, seconds=60.0, status=503, good=False)
    answers = [write, read(2, good=False, seconds=5.0), lost, read(1, seconds=0.2), read(3)]

    row = noticed("bus", answers, 2.0)

    assert (row.reads, row.failed, row.outage_s) == (3, 1, 1.0)
    assert row.read_p99_ms == pytest.approx(200.0)
    assert (row.writes, row.writes_failed, row.slowest_write_s) == (2, 1, 60.0)


@pytest.mark.parametrize("seed", range(5))
def test_each_part_is_hit_once_and_what_takes_the_others_with_it_last(seed: int) -> None:
    order = parts(seed, PARTS)

    assert sorted(order) == sorted(PARTS)
    assert order[-2:] == ["raylet", STACK]
    assert parts(seed, PARTS) == order


def test_a_sound_run_meets_every_goal() -> None:
    assert unmet(SOUND) == set()
    assert details(SOUND)["rows"][0]["target"] == "gateway"


@pytest.mark.parametrize(
    ("outcome", "goal"),
    [
        (replace(SOUND, rows=(replace(ROW, outage_s=6.1),)), "outage_s[gateway]"),
        (replace(SOUND, rows=(replace(ROW, writes_failed=1),)), "writes_failed"),
        (replace(SOUND, rows=(replace(ROW, there_again_s=None),)), "not_there_again"),
        (replace(SOUND, lost=1), "acknowledged_and_lost"),
        (replace(SOUND, doubled=1), "doubled"),
        (replace(SOUND, overloaded=replace(OVER, failed=1)), "overload_failed"),
        (replace(SOUND, overloaded=replace(OVER, refused=0)), "overload_refused"),
        (
            replace(SOUND, overloaded=replace(OVER, unadvised=1)),
            "overload_refused_without_retry_after",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_is_wrong_has_a_goal_that_is_unmet(outcome: Outcome, goal: str) -> None:
    assert unmet(outcome) == {goal}


def test_the_gateway_takes_the_search_that_is_sent() -> None:
    SearchIn.model_validate(QUESTION)
