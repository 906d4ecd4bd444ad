"""Starts again what died: a bounded number of times, then after a rest, for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

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
    """

    name: str
    alive: Callable[[], bool]
    restart: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who hears of what happens to a part.

    Attributes:
        say: takes one line for people.
        restarted: called after each restart that worked.
        resting: takes the part's name, and for how many seconds it stays down; 0: no longer.
    """

    say: Callable[[str], None]
    restarted: Callable[[], None]
    resting: Callable[[str, float], None]


async def keep(
    part: Part,
    settings: StackSettings,
    listener: Listener,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Watches one part for ever.

    Each restart within the window waits longer than the one before. Who dies too often stays down
    for a rest, which doubles while that goes on; what it holds, and what needs it, answers that it
    is away meanwhile.
    """
    budget = RestartBudget(
        limit=settings.restarts,
        window_s=settings.restart_window_s,
        delay_s=settings.restart_delay_s,
        delay_max_s=settings.restart_delay_max_s,
        rest_s=settings.restart_rest_s,
        rest_max_s=settings.restart_rest_max_s,
    )
    while True:
        await sleep(settings.check_period_s)
        if part.alive():
            continue
        noticed = now()
        delay_s = budget.spend(noticed)
        if delay_s is None:
            rest_s = budget.rest(noticed)
            listener.say(
                f"{part.name} died {settings.restarts} times in {settings.restart_window_s:g} s:"
                f" it stays down for {rest_s:g} s, see its logs"
            )
            listener.resting(part.name, rest_s)
            await sleep(rest_s)
            listener.resting(part.name, 0)
            continue
        listener.say(f"{part.name} died, starting it again")
        await sleep(delay_s)
        try:
            await part.restart()
        except (StackProblem, OSError) as problem:
            # The next look spends the next restart.
            listener.say(f"{part.name} did not start: {problem}")
        else:
            listener.restarted()
            listener.say(f"{part.name} is back after {now() - noticed:.1f} s")
