"""Events flow while everything they stand on is killed: nothing lost, doubled or out of order."""

from pathlib import Path

import pytest

from benchmarks.faults.plan import MEMBER, TARGETS, strikes
from benchmarks.faults.report import FORCED_PERCENT, report
from benchmarks.faults.run import Outcome, new_workload, play
from benchmarks.local_stack import started
from cluster.state import Stack
from tests.fixtures.services import service_folder

pytestmark = pytest.mark.integration

_KILLS = 9
_LONG_KILLS = 36


def assert_sound(outcome: Outcome, kills: int) -> None:
    """Everything the run promises, with the first of what is wrong in the message."""
    unmet = [str(goal) for goal in report(outcome, kills).goals if not goal.met]
    assert outcome.verdict.anomalies[:10] == ()
    assert unmet == []
    assert outcome.sound


@pytest.mark.timeout(900)
async def test_whatever_dies_each_event_takes_effect_once_and_in_order(
    stack: Stack, tmp_path: Path
) -> None:
    workload = await new_workload(stack, 1, handled=False)

    outcome = await play(stack, workload, strikes(1, _KILLS, TARGETS), tmp_path, seconds=600)

    assert_sound(outcome, _KILLS)
    assert {fault.target for fault in outcome.faults} == set(TARGETS)
    assert min(outcome.redelivered.values()) >= FORCED_PERCENT


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [2, 3])
async def test_whatever_dies_whenever_members_of_a_pool_handle_each_event_once_and_in_order(
    seed: int, tmp_path: Path
) -> None:
    with (
        service_folder() as folder,
        started(folder / "data", ["--pools", "benchmarks.faults.pools"]) as stack,
    ):
        workload = await new_workload(stack, seed, handled=True)
        plan = strikes(seed, _LONG_KILLS, (*TARGETS, MEMBER))

        outcome = await play(stack, workload, plan, tmp_path, seconds=1_500)

    assert_sound(outcome, _LONG_KILLS)
