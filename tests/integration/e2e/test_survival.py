"""The main job ends exactly once, whichever process dies in the middle of it."""

import random
import uuid
from collections.abc import Mapping

import pytest

from benchmarks import casualties
from cluster.loop import LoopResult, Step, play_loop
from cluster.state import Stack
from cluster.story import Story
from tests.fixtures import census
from tests.fixtures.census import Census
from tests.fixtures.stack import as_admin, as_alertmanager

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

MOMENTS = ("alert", "resolve", "publish")
"""The steps whose effects still run when the process dies."""

STEPS = ("alert", "dossier", "tasks", "respond", "start", "complete", "resolve", "edit", "publish")
SEEDS = range(20)


async def play(stack: Stack, deaths: Mapping[str, str]) -> tuple[LoopResult, list[str]]:
    """Plays the loop once; after each step that is named, the target given with it dies."""
    fallen: list[str] = []

    async def kill(step: Step) -> None:
        if step.name in deaths:
            casualties.kill(stack, deaths[step.name])
            fallen.append(step.name)

    run = uuid.uuid4().hex[:12]
    story = Story(deployment=f"survival-{run}", instance="gateway-0", run_id=run)
    async with as_alertmanager(stack) as intake, as_admin(stack) as person:
        result = await play_loop(intake, person, story, after=kill, wait_s=60)
    return result, fallen


async def assert_it_happens_once(stack: Stack, deaths: Mapping[str, str]) -> None:
    """Plays, and counts in PostgreSQL what has come of it."""
    result, fallen = await play(stack, deaths)
    steps = len(result.dossier["steps"])
    once = Census(
        incidents=1,
        reviews=1,
        entities=1,
        runbook_tasks=steps,
        distinct_runbook_steps=steps,
        action_tasks=1,
        correlations=1,
        tasks_nobody_will_do=0,
        loops_completed=1,
        loop_ends=1,
        dead_letters=0,
    )

    counted = await census.settled(stack, result.incident_id, result.correlation_id, once)

    assert fallen == list(deaths)
    assert result.correlated()
    assert steps > 0
    assert counted == once


@pytest.mark.parametrize("target", casualties.TARGETS)
async def test_the_loop_ends_exactly_once_although_a_process_dies(
    stack: Stack, runbooks: None, target: str
) -> None:
    await assert_it_happens_once(stack, dict.fromkeys(MOMENTS, target))


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_loop_ends_exactly_once_whoever_dies_whenever(
    stack: Stack, runbooks: None, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311  # chooses victims
    chosen = set(dice.sample(STEPS, 3))
    deaths = {step: dice.choice(casualties.TARGETS) for step in STEPS if step in chosen}

    await assert_it_happens_once(stack, deaths)
