"""Who answers the same searches: what a contender is, and the question it is asked.

Every contender is a server of its own on loopback with the same documents. One that cannot filter
says so and is not asked to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.vectors.kept import ONE_PERCENT, TEN_PERCENT

TOP = 10
RECALL = 0.98
Rows = npt.NDArray[np.int64]


class Within(StrEnum):
    """Among which documents is searched."""

    ALL = "all"
    TENTH = "tenth"
    HUNDREDTH = "hundredth"

    @property
    def tag(self) -> str | None:
        """The tag that they have."""
        return {Within.TENTH: TEN_PERCENT, Within.HUNDREDTH: ONE_PERCENT}.get(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a contender is asked once."""

    within: Within
    clients: int
    seconds: float


class Peer(Protocol):
    """A server that is filled and answers."""

    @property
    def within(self) -> Sequence[Within]:
        """What it can search among."""
        ...

    @property
    def settings(self) -> Mapping[str, str | int | float]:
        """How it is set up, for the report."""
        ...

    async def found(self, within: Within) -> list[list[int]]:
        """The rows it answers, a list for each query of the set, best first."""
        ...

    async def measure(self, turn: Turn) -> Mapping[str, float]:
        """``rps``, ``p50_ms``, ``p99_ms``, ``failed`` under closed load."""
        ...
