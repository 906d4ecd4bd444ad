"""The frame of the benchmarks: fair turns, honest goals, a readable end."""

import io
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.frame import (
    Contender,
    Goal,
    Measurement,
    Options,
    Report,
    Summary,
    figure,
    interleave,
    main,
    percentile,
    render,
)


def report_with(*goals: Goal) -> Report:
    results = {"mailbox": {"rps": Summary(median=800, low=700, high=900, rounds=3)}}
    return Report(results=results, goals=goals)


async def test_contenders_take_turns_and_no_one_always_goes_first() -> None:
    turns: list[str] = []

    def contender(name: str) -> Contender:
        async def turn() -> Measurement:
            turns.append(name)
            return {"rps": float(len(turns))}

        return turn

    results = await interleave({name: contender(name) for name in "abc"}, rounds=3)

    assert "".join(turns) == "abc" + "bca" + "cab"
    assert results["a"]["rps"] == Summary(median=6, low=1, high=8, rounds=3)


@pytest.mark.parametrize(
    ("goal", "line"),
    [
        (Goal(name="ratio", measured=0.61, at_least=0.6), "GOAL ratio 0.610 >=0.6 met"),
        (Goal(name="ratio", measured=0.59, at_least=0.6), "GOAL ratio 0.590 >=0.6 unmet"),
        (Goal(name="p95_ms", measured=12.71, at_most=20), "GOAL p95_ms 12.7 <=20 met"),
        (Goal(name="p95_ms", measured=2008, at_most=20), "GOAL p95_ms 2008 <=20 unmet"),
        (Goal(name="ratio", measured=None, at_least=0.6), "GOAL ratio - >=0.6 unmet"),
        (Goal(name="ratio", measured=float("nan"), at_most=2), "GOAL ratio nan <=2 unmet"),
    ],
)
def test_a_goal_reads_as_one_line(goal: Goal, line: str) -> None:
    assert str(goal) == line


def test_a_goal_without_a_bound_or_with_two_is_a_mistake() -> None:
    for bounds in ({}, {"at_least": 1.0, "at_most": 2.0}):
        with pytest.raises(ValueError, match="exactly one bound"):
            Goal(name="ratio", measured=1, **bounds)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_with_that_share_at_or_below_it(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= round(share * 10_000) / 10_000 * len(values)


def test_the_goals_are_the_last_lines_whatever_the_width_of_the_screen() -> None:
    goals = (
        Goal(name="mailbox_over_noop_16_connections_1_replica", measured=0.7, at_least=0.6),
        Goal(name="mailbox_over_noop_64_connections_1_replica", measured=0.4, at_least=0.5),
    )
    page = io.StringIO()

    render(report_with(*goals), Console(file=page, width=30))

    assert page.getvalue().splitlines()[-2:] == [str(goal) for goal in goals]


@pytest.mark.parametrize(("arguments", "code"), [(["--check"], 1), ([], 0)])
def test_an_unmet_goal_fails_only_a_checked_run(arguments: list[str], code: int) -> None:
    async def run(options: Options) -> Report:
        return report_with(Goal(name="ratio", measured=0.1, at_least=0.6))

    assert main("sample", "A sample.", run, arguments) == code


def test_the_file_names_the_machine_the_commit_and_every_figure(tmp_path: Path) -> None:
    async def run(options: Options) -> Report:
        assert options.quick
        return report_with(Goal(name="ratio", measured=0.7, at_least=0.6))

    path = tmp_path / "results" / "sample.json"

    code = main("sample", "A sample.", run, ["--quick", "--check", "--json", str(path)])

    written = orjson.loads(path.read_bytes())
    assert code == 0
    assert written["machine"]["cores"] >= 1
    assert written["commit"]
    assert written["results"]["mailbox"]["rps"]["median"] == 800
    assert written["goals"][0]["met"] is True


def test_figures_keep_the_digits_that_matter() -> None:
    assert [figure(value) for value in (1234.56, 12.345, 0.6543)] == ["1235", "12.3", "0.654"]
