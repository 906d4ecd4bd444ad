"""When a member looks at the log again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from actors.settings import IndexSettings

_SLOWER = 1.5
"""Each look that finds nothing makes the next pause so much longer."""


class TailPace:
    """At once for a search that has come since the last look began, and slowly for nobody.

    What a search waits for is committed, so one look finds it. Only what comes later, a vector,
    lets it wait on: then each pause is longer than the last, by up to half of what it has waited.

    Args:
        settings: the pauses.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._waiting = 0
        self._come = asyncio.Event()
        self._pause_s = settings.tail_hurry_s

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Somebody waits for the log while the block runs."""
        self._waiting += 1
        self._come.set()
        self._pause_s = self._settings.tail_hurry_s
        try:
            yield
        finally:
            self._waiting -= 1

    def looks(self) -> None:
        """A look begins: who comes from here on wants another one."""
        self._come.clear()

    def found(self) -> None:
        """The look has found something, and there may soon be more."""
        self._pause_s = self._settings.tail_hurry_s

    def next_s(self) -> float:
        """How long the pause before the next look is, if nobody comes meanwhile."""
        poll_s = self._settings.tail_poll_s
        if not self._waiting:
            return poll_s
        pause_s = min(poll_s, self._pause_s)
        self._pause_s = pause_s * _SLOWER
        return pause_s

    async def pause(self) -> None:
        """Between two looks; who comes ends it, or has come already."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.next_s()):
                await self._come.wait()
