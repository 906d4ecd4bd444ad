"""Long loops among others in one event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def in_turns(
    items: Iterable[T], hold_s: float, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[T]:
    """The items; whenever they have taken ``hold_s`` seconds, the others of the loop come first."""
    ends_at = monotonic() + hold_s
    for item in items:
        if monotonic() >= ends_at:
            await asyncio.sleep(0)
            ends_at = monotonic() + hold_s
        yield item
