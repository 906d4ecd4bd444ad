"""Telling the router that there is something to read, often, at the price of seldom."""

import asyncio
from collections.abc import Callable


class Nudger:
    """Sends at once, then at most once a period; what came meanwhile is sent at its end.

    Losing a nudge costs the router's poll interval, never an event.
    """

    def __init__(self, send: Callable[[], None], period_s: float) -> None:
        self._send = send
        self._period_s = period_s
        self._resting: asyncio.TimerHandle | None = None
        self._again = False

    def nudge(self) -> None:
        """Never blocks, never fails; call it on the event loop's thread."""
        if self._resting is not None:
            self._again = True
            return
        self._fire()

    def close(self) -> None:
        """Forgets what was still to be sent."""
        if self._resting is not None:
            self._resting.cancel()

    def _fire(self) -> None:
        self._again = False
        self._resting = asyncio.get_running_loop().call_later(self._period_s, self._rested)
        self._send()

    def _rested(self) -> None:
        self._resting = None
        if self._again:
            self._fire()
