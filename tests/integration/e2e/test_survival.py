"""The main job ends exactly once, whichever process dies in the middle of it."""

import uuid

import pytest

from cluster.loop import LoopResult, Step, play_loop
from cluster.state import Stack
from cluster.story import Story
from tests.fixtures import casualties, census
from tests.fixtures.census import Census
from tests.fixtures.stack import as_admin, as_alertmanager

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

MOMENTS = ("alert", "resolve", "publish")
"""The steps whose effects still run when the process dies."""


async def play(stack: Stack, target: str) -> tuple[LoopResult, list[str]]:
    """Plays the loop once; the target dies right after each of the moments."""
    fallen: list[str] = []

    async def kill(step: Step) -> None:
        if step.name in MOMENTS:
            casualties.kill(stack, target)
            fallen.append(step.name)

    run = uuid.uuid4().hex[:12]
    story = Story(deployment=f"survival-{run}", instance=f"{target}-0", run_id=run)
    async with as_alertmanager(stack) as intake, as_admin(stack) as person:
        result = await play_loop(intake, person, story, after=kill, wait_s=60)
    return result, fallen


@pytest.mark.parametrize("target", casualties.TARGETS)
async def test_the_loop_ends_exactly_once_although_a_process_dies(
    stack: Stack, runbooks: None, target: str
) -> None:
    result, fallen = await play(stack, target)
    steps = len(result.dossier["steps"])
    once = Census(
        incidents=1,
        reviews=1,
        entities=1,
        runbook_tasks=steps,
        distinct_runbook_steps=steps,
        action_tasks=1,
        correlations=1,
        dead_letters=0,
    )

    counted = await census.settled(stack, result.incident_id, result.correlation_id, once)

    assert fallen == list(MOMENTS)
    assert result.correlated()
    assert steps > 0
    assert counted == once
