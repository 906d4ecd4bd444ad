"""What the pools should be, and who may decide it: kept outside the supervisor's process."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class LostLeadership(Exception):
    """Another supervisor has taken over. Whoever sees this stops acting at once."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """One pool as it should be."""

    name: str
    generation: int
    size: int
    min_size: int
    max_size: int


class DesiredState(Protocol):
    """Leadership and desired pools. Every method raises `DependencyUnavailable` when away."""

    async def lead(self, holder: str) -> int:
        """Takes the leadership over and returns its epoch, higher than all before."""
        ...

    async def renew(self, epoch: int) -> None:
        """Proves that the epoch is still the latest.

        Raises:
            LostLeadership: it is not.
        """
        ...

    async def load(self) -> Mapping[str, PoolState]:
        """All pools, by name."""
        ...

    async def save(self, pool: PoolState, epoch: int) -> None:
        """Writes one pool, new or known, in one transaction with the proof of the epoch.

        Raises:
            LostLeadership: the epoch is no longer the latest; nothing was written.
        """
        ...


class DesiredInMemory:
    """A `DesiredState` that lives as long as its process: for clusters without a database."""

    def __init__(self) -> None:
        self._epoch = 0
        self._pools: dict[str, PoolState] = {}

    async def lead(self, holder: str) -> int:
        """See `DesiredState.lead`. Rises over restarts, as far as the clock does."""
        self._epoch = max(self._epoch + 1, time.time_ns() // 1_000_000)
        return self._epoch

    async def renew(self, epoch: int) -> None:
        """See `DesiredState.renew`."""
        if epoch != self._epoch:
            raise LostLeadership(epoch)

    async def load(self) -> Mapping[str, PoolState]:
        """See `DesiredState.load`."""
        return dict(self._pools)

    async def save(self, pool: PoolState, epoch: int) -> None:
        """See `DesiredState.save`."""
        await self.renew(epoch)
        self._pools[pool.name] = pool
