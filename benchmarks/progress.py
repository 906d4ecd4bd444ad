"""How far a run is: a line on standard error every few seconds, also while nothing moves."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO, TypeVar

ItemT = TypeVar("ItemT")

EVERY_S = 10.0


@dataclass(slots=True)
class Step:
    """What a run is at.

    Attributes:
        what: the step, in a few words.
        done: units of it.
        of: how many there will be; None: nobody knows.
    """

    what: str
    done: int = 0
    of: int | None = None

    def begin(self, what: str, of: int | None = None) -> None:
        """The run goes on to this."""
        self.what, self.done, self.of = what, 0, of

    def counted(self, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """The items; each counts as done when the next one is asked for."""
        for item in items:
            yield item
            self.done += 1

    def __str__(self) -> str:
        return f"{self.what}: {self.done}" if self.of is None else f"{self.what}: {self.share}"

    @property
    def share(self) -> str:
        """Done of all."""
        return f"{self.done} of {self.of}"


@contextmanager
def shown(
    state: Callable[[], object], *, every_s: float = EVERY_S, out: TextIO | None = None
) -> Iterator[None]:
    """Writes the state and the time since the beginning, from a thread, while the block runs.

    Args:
        state: read on that thread; text of one line.
        every_s: between two lines.
        out: default standard error.
    """
    ended, began = threading.Event(), time.monotonic()

    def write() -> None:
        while not ended.wait(every_s):
            print(f"[{time.monotonic() - began:5.0f} s] {state()}", file=out or sys.stderr)

    writer = threading.Thread(target=write, name="progress", daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
