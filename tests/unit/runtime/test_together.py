import asyncio

import pytest

from actors.errors import StaleIndex
from actors.runtime.together import together


class Slow:
    """A work that never ends by itself.

    Attributes:
        begun: set when it runs.
        ended: whether it was cancelled and has cleaned up.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = False

    async def work(self) -> None:
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            self.ended = True


async def _answer(value: int) -> int:
    return value


async def test_all_answers_come_in_their_order() -> None:
    assert await together(_answer(1), _answer(2), _answer(3)) == (1, 2, 3)
    assert await together() == ()


async def test_the_failure_of_one_ends_the_others_and_is_raised_as_it_is() -> None:
    slow = Slow()

    async def fail() -> None:
        await slow.begun.wait()
        raise StaleIndex("1-1-1", "1-0-0")

    with pytest.raises(StaleIndex):
        await together(slow.work(), fail())

    assert slow.ended


async def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    slow = Slow()
    caller = asyncio.create_task(together(slow.work(), _answer(1)))
    await slow.begun.wait()

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert slow.ended
