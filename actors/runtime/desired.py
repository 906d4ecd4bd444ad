"""What the pools should be, and who may decide it: kept outside the supervisor's process."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from actors.storage.leaders import LeadershipLost, Lease

SUPERVISOR = "supervisor"
"""Name of the lease, and of the actor that holds it."""


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

    async def lead(self, holder: str, *, unless_renewed_within_s: float) -> Lease | None:
        """Takes the leadership over, with a higher epoch than all before; None: left alone."""
        ...

    async def renew(self, lease: Lease) -> None:
        """Proves that the lease is still the newest.

        Raises:
            LeadershipLost: it is not.
        """
        ...

    async def load(self) -> Mapping[str, PoolState]:
        """All pools, by name."""
        ...

    async def save(self, pool: PoolState, lease: Lease) -> None:
        """Writes one pool, new or known, in one transaction with the proof of the lease.

        Raises:
            LeadershipLost: the lease is no longer the newest; nothing was written.
        """
        ...


class DesiredInMemory:
    """A `DesiredState` that lives as long as its process: for clusters without a database."""

    def __init__(self) -> None:
        self._lease = Lease(SUPERVISOR, "nobody", 0)
        self._renewed_at = 0.0
        self._pools: dict[str, PoolState] = {}

    async def lead(self, holder: str, *, unless_renewed_within_s: float) -> Lease | None:
        """See `DesiredState.lead`. Epochs rise over restarts, as far as the clock does."""
        if time.monotonic() - self._renewed_at < unless_renewed_within_s:
            return None
        epoch = max(self._lease.epoch + 1, time.time_ns() // 1_000_000)
        self._lease = Lease(SUPERVISOR, holder, epoch)
        await self.renew(self._lease)
        return self._lease

    async def renew(self, lease: Lease) -> None:
        """See `DesiredState.renew`."""
        if lease != self._lease:
            raise LeadershipLost(lease.name, lease.epoch)
        self._renewed_at = time.monotonic()

    async def load(self) -> Mapping[str, PoolState]:
        """See `DesiredState.load`."""
        return dict(self._pools)

    async def save(self, pool: PoolState, lease: Lease) -> None:
        """See `DesiredState.save`."""
        await self.renew(lease)
        self._pools[pool.name] = pool
