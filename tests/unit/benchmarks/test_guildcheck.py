"""The checker finds every planted anomaly, and nothing where nothing is wrong."""

from dataclasses import replace

import pytest

from benchmarks.guildcheck import (
    Entry,
    HistoryError,
    Kind,
    Observer,
    Phase,
    Sighting,
    fold,
    judge,
)
from tests.fixtures.histories import PLANTS, Spoil, dice_of, lose_everywhere, world

CLEAN = 1_000
PLANTED = 100  # of each of thirteen ways
ENTRY = Entry(
    phase=Phase.INVOKE, client="writer-1", at=1.0, event="1/1", aggregate="order-1", amount=3
)
SIGHTING = Sighting("1/1", "order-1", 1, 3)


def test_a_history_in_which_nothing_went_wrong_is_never_accused() -> None:
    accused = []
    unknown = repeated = 0

    for seed in range(CLEAN):
        made = world(seed)
        verdict = judge(made.entries, made.observers)
        unknown += verdict.unknown
        repeated += verdict.repeated
        if verdict.anomalies:
            accused.append((seed, verdict.anomalies))

    assert accused == []
    assert unknown > CLEAN
    assert repeated > CLEAN


@pytest.mark.parametrize("spoil", PLANTS, ids=lambda spoil: spoil.__name__)
def test_what_was_planted_is_found(spoil: Spoil) -> None:
    missed, planted, seed = [], 0, 0

    while planted < PLANTED:
        seed += 1
        assert seed < 50 * PLANTED, "hardly a history has a place for it"
        made = world(seed)
        if spoil(made, dice_of(seed)):
            planted += 1
            if not judge(made.entries, made.observers).count(PLANTS[spoil]):
                missed.append(seed)

    assert missed == []


def test_every_kind_of_anomaly_is_planted_a_thousand_times_in_all() -> None:
    assert set(PLANTS.values()) == set(Kind)
    assert PLANTED * len(PLANTS) >= 1_000


def test_an_anomaly_names_who_saw_what() -> None:
    made = world(1)
    lose_everywhere(made, dice_of(1))

    found = judge(made.entries, made.observers).anomalies

    lost = [one for one in found if one.kind is Kind.LOST]
    assert {one.observer for one in lost} == {"log", "pulled", "handled"}
    assert len({one.subject for one in lost}) == 1


def test_nothing_is_assumed_of_an_outcome_nobody_knows() -> None:
    entries = [ENTRY, replace(ENTRY, phase=Phase.INFO, at=2.0)]

    without = judge(entries, [Observer(name="log", seen=[])])
    with_it = judge(entries, [Observer(name="log", seen=[SIGHTING], totals={"order-1": 3})])

    assert without.anomalies == with_it.anomalies == ()
    assert (without.unknown, without.unknown_seen) == (1, 0)
    assert (with_it.unknown, with_it.unknown_seen) == (1, 1)


def test_an_attempt_that_failed_says_nothing_about_one_that_did_not() -> None:
    entries = [
        ENTRY,
        replace(ENTRY, phase=Phase.FAIL, at=2.0),
        replace(ENTRY, at=3.0),
        replace(ENTRY, phase=Phase.OK, at=4.0, stored_as="evt_1"),
    ]

    verdict = judge(entries, [Observer(name="log", seen=[SIGHTING])])

    assert verdict.anomalies == ()
    assert (verdict.events, verdict.acknowledged, verdict.repeated) == (1, 1, 1)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([replace(ENTRY, phase=Phase.OK)], "without having begun"),
        ([ENTRY, replace(ENTRY, client="writer-2", amount=4)], "two contents"),
        ([ENTRY, ENTRY], "twice at a time"),
    ],
)
def test_a_history_that_contradicts_itself_is_refused(entries: list[Entry], complaint: str) -> None:
    with pytest.raises(HistoryError, match=complaint):
        fold(entries)


def test_an_entry_is_read_back_as_it_was_written() -> None:
    entry = replace(ENTRY, phase=Phase.OK, stored_as="evt_1")

    assert Entry.from_line(entry.to_line()) == entry
