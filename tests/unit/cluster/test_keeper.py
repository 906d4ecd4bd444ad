"""What becomes of a part that dies."""

from dataclasses import dataclass, field

import pytest

from actors.settings import StackSettings
from cluster.keeper import Listener, Part, keep
from cluster.problem import StackProblem

SETTINGS = StackSettings(
    check_period_s=1,
    restarts=2,
    restart_window_s=100,
    restart_delay_s=2,
    restart_delay_max_s=4,
    restart_rest_s=50,
    restart_rest_max_s=200,
)


class Over(Exception):
    """The test has seen enough."""


@dataclass
class World:
    """A part whose deaths are decided here, and the clock of its keeper.

    Attributes:
        lives: seconds that each start of it lives; then it does not start at all.
    """

    lives: list[float]
    ends_at: float
    now: float = 0.0
    dies_at: float = 0.0
    restarts: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    rests: list[tuple[str, float]] = field(default_factory=list)

    async def watch(self) -> None:
        part = Part(name="GCS", alive=lambda: self.now < self.dies_at, restart=self.restart)
        listener = Listener(
            say=self.said.append,
            restarted=lambda: self.restarts.append(self.now),
            resting=lambda name, rest_s: self.rests.append((name, rest_s)),
        )
        with pytest.raises(Over):
            await keep(part, SETTINGS, listener, now=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > self.ends_at:
            raise Over

    async def restart(self) -> None:
        if not self.lives:
            raise StackProblem("no port")
        self.dies_at = self.now + self.lives.pop(0)


async def test_a_part_that_died_is_started_again_later_each_time() -> None:
    world = World(lives=[10, 500], ends_at=100)

    await world.watch()

    assert world.restarts == [3.0, 17.0]  # noticed after 1 and 13 s, and 2 and 4 s later
    assert world.rests == []


async def test_what_dies_too_often_stays_down_is_told_and_is_tried_again() -> None:
    world = World(lives=[1, 1, 500], ends_at=150)

    await world.watch()

    assert world.rests == [("GCS", 50.0), ("GCS", 0)]
    assert "GCS died 2 times in 100 s: it stays down for 50 s, see its logs" in world.said
    assert len(world.restarts) == 3
    assert world.restarts[2] > world.restarts[1] + 50


async def test_a_start_that_fails_is_spent_and_does_not_end_the_keeper() -> None:
    world = World(lives=[], ends_at=400)

    await world.watch()

    assert world.said.count("GCS did not start: no port") >= 4
    assert [rest_s for _, rest_s in world.rests if rest_s][:2] == [50.0, 100.0]
    assert world.restarts == []
