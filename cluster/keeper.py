"""Starts again what died, a bounded number of times."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from actors.settings import StackSettings
from cluster.budget import RestartBudget
from cluster.problem import StackProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something that can die and be started again.

    Attributes:
        name: for people.
        alive: asked often; must be cheap.
        restart: starts it again and returns when it works.
        vital: without it the stack stops; the rest is left dead when its budget is used up.
    """

    name: str
    alive: Callable[[], bool]
    restart: Callable[[], Awaitable[None]]
    vital: bool = True


async def keep(
    part: Part,
    settings: StackSettings,
    *,
    say: Callable[[str], None],
    restarted: Callable[[], None],
) -> None:
    """Watches one part for ever.

    Args:
        part: what to watch.
        settings: how often it may die.
        say: takes one line about what happens.
        restarted: called after each restart that worked.

    Raises:
        StackProblem: a vital part died too often.
    """
    budget = RestartBudget(
        limit=settings.restarts,
        window_s=settings.restart_window_s,
        delay_s=settings.restart_delay_s,
        delay_max_s=settings.restart_delay_max_s,
    )
    while True:
        await asyncio.sleep(settings.check_period_s)
        if part.alive():
            continue
        noticed = time.monotonic()
        delay_s = budget.spend(noticed)
        if delay_s is None:
            text = f"{part.name} died {settings.restarts} times in {settings.restart_window_s:g} s"
            if part.vital:
                raise StackProblem(f"{text}: the stack stops, see its logs")
            say(f"{text}: it stays dead")
            return
        say(f"{part.name} died, starting it again")
        await asyncio.sleep(delay_s)
        try:
            await part.restart()
        except (StackProblem, OSError) as problem:
            say(f"{part.name} did not start: {problem}")  # the next look spends the next restart
        else:
            restarted()
            say(f"{part.name} is back after {time.monotonic() - noticed:.1f} s")
