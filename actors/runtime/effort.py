"""How much of the time an event loop is at work."""

import time
from collections.abc import Callable


class Effort:
    """The share of time that this thread has worked, from one question to the next.

    Belongs to the thread of one event loop. What runs in other threads is not counted: it does not
    keep the loop from the next message.
    """

    def __init__(
        self,
        worked: Callable[[], float] = time.thread_time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worked = worked
        self._now = now
        self._since = now()
        self._worked_before: float | None = None

    def share(self) -> float:
        """From 0 to 1; 0 when asked for the first time."""
        now, worked = self._now(), self._worked()
        before, passed = self._worked_before, now - self._since
        self._worked_before, self._since = worked, now
        if before is None or passed <= 0:
            return 0.0
        return min(max((worked - before) / passed, 0.0), 1.0)
