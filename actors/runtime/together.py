"""Works that belong together: when one fails, the others end before anybody hears of it."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, overload

_A = TypeVar("_A")
_B = TypeVar("_B")


@overload
async def together(first: Awaitable[_A], second: Awaitable[_B], /) -> tuple[_A, _B]: ...
@overload
async def together(*works: Awaitable[_A]) -> tuple[_A, ...]: ...
async def together(*works: Awaitable[Any]) -> tuple[Any, ...]:
    """What all of them return, in their order; they run at the same time.

    The first failure, or the cancellation of the caller, cancels the others, waits until they have
    ended, and is raised as it is.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return tuple(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
