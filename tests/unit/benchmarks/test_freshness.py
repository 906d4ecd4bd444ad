"""What the run must have done before its figures count."""

import asyncio
from dataclasses import replace

import pytest

from benchmarks.freshness import FULL, QUICK, Gone, Seen, beside, goals


def seen(pairs: int, deleted: int, *, killed: int = 0) -> Seen:
    return Seen(
        pairs=pairs,
        killed=killed,
        lexical_ms=[1.0] * pairs,
        deleted={str(number): Gone("word") for number in range(deleted)},
    )


def unmet(quiet: Seen, stormy: Seen, alone: Seen | None = None) -> list[str]:
    found = goals(alone or seen(40, 40), quiet, stormy, QUICK)
    return [goal.name for goal in found if not goal.met]


def test_the_whole_run_has_five_thousand_pairs_and_two_thousand_deletions() -> None:
    bounds = {goal.name: goal.at_least for goal in goals(Seen(), Seen(), Seen(), FULL)}

    assert (bounds["pairs"], bounds["deleted"]) == (5_000, 2_000)


def test_a_run_that_did_all_and_saw_nothing_wrong_meets_its_goals() -> None:
    assert unmet(seen(60, 30), seen(60, 30, killed=1)) == []


def test_a_run_in_which_nobody_died_or_too_little_was_done_does_not() -> None:
    assert unmet(seen(60, 30), seen(60, 30)) == ["killed"]
    assert unmet(seen(60, 30), seen(59, 29, killed=1)) == ["pairs", "deleted"]


def test_what_was_not_measured_is_not_met() -> None:
    found = unmet(seen(0, 0), seen(0, 0), alone=Seen())

    assert {"lexical_ms_p99", "alone_lexical_ms_p99"} <= set(found)


def test_what_was_stale_for_one_client_counts_as_well() -> None:
    assert unmet(seen(60, 30), seen(60, 30, killed=1), alone=replace(seen(40, 40), stale=1)) == [
        "stale"
    ]


async def test_a_storm_that_fails_ends_the_work_beside_it() -> None:
    async def storm() -> None:
        raise RuntimeError("nobody was there to be killed")

    with pytest.raises(ExceptionGroup) as raised:
        async with beside(storm()):
            await asyncio.Event().wait()

    assert raised.group_contains(RuntimeError, match="nobody was there")


async def test_a_storm_blows_until_the_work_is_done() -> None:
    blown = 0

    async def storm() -> None:
        nonlocal blown
        while True:
            blown += 1
            await asyncio.sleep(0)

    async with beside(storm()):
        for _ in range(5):
            await asyncio.sleep(0)
    after = blown
    await asyncio.sleep(0)

    assert 0 < after == blown
