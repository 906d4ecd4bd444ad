"""A long loop lets others have a turn."""

import asyncio
from collections.abc import Iterator

import pytest

from actors.runtime.turns import in_turns


def seconds() -> Iterator[float]:
    return (float(number) for number in range(1_000))


@pytest.mark.parametrize(("hold_s", "turns"), [(1.0, 10), (3.0, 3), (100.0, 0)])
async def test_others_come_first_whenever_it_has_held_the_loop_so_long(
    hold_s: float, turns: int
) -> None:
    clock, had, seen = seconds(), 0, []

    async def another() -> None:
        nonlocal had
        while True:
            await asyncio.sleep(0)
            had += 1

    task = asyncio.create_task(another())
    await asyncio.sleep(0)
    async for item in in_turns(range(10), hold_s, lambda: next(clock)):
        seen.append(item)
    task.cancel()

    assert seen == list(range(10))
    assert had == turns
