"""Who the members are, as one process knows it: learnt by long poll, cached, never asked twice."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from actors.errors import DependencyUnavailable
from actors.runtime.identity import MemberIdentity
from actors.settings import RuntimeSettings

_log = structlog.get_logger("elders_guild.runtime")


class Roster(NamedTuple):
    """The members that take messages, as the supervisor publishes them.

    Attributes:
        epoch: the supervisor's leadership; 0: not proven, its database is away.
        version: rises with each change; restarts of the supervisor never repeat one.
        members: of all pools, in no particular order.
        nodes: where each of them runs, in the order of ``members``; empty: nobody has said.
    """

    epoch: int
    version: int
    members: tuple[MemberIdentity, ...]
    nodes: tuple[str, ...] = ()


NOBODY = Roster(0, 0, ())


class RosterSource(Protocol):
    """Where rosters come from. Both methods raise `DependencyUnavailable`."""

    async def watch(self, known: Roster) -> Roster:
        """The supervisor's roster once it differs from ``known``, or after a while."""
        ...

    async def existing(self) -> tuple[MemberIdentity, ...]:
        """All member actors that exist, ready or not."""
        ...


def accepts(known: Roster, offered: Roster) -> bool:
    """Whether the offered roster replaces the known one: a deposed leader's does not."""
    return offered.epoch == 0 or offered.epoch >= known.epoch


class Directory:
    """Follows the supervisor. While it is away the last roster stands."""

    def __init__(self, source: RosterSource, settings: RuntimeSettings) -> None:
        self._source = source
        self._settings = settings
        self._roster = NOBODY
        self._by_pool: dict[str, tuple[MemberIdentity, ...]] = {}
        self._nodes: dict[MemberIdentity, str] = {}
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to follow; needs the running event loop. A second call does nothing."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stops following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def members(self, pool: str) -> tuple[MemberIdentity, ...]:
        """The pool's members, as last heard."""
        return self._by_pool.get(pool, ())

    def node(self, member: MemberIdentity) -> str:
        """Where the member runs, as last heard; empty where nobody has said."""
        return self._nodes.get(member, "")

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` after each change, on the event loop."""
        self._listeners.append(listener)

    async def existing(self) -> tuple[MemberIdentity, ...]:
        """See `RosterSource.existing`."""
        return await self._source.existing()

    async def wait_for_members(self, pool: str, timeout_s: float) -> bool:
        """Whether the pool has members, if need be after waiting for some."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.members(pool):
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self) -> None:
        pause_s = self._settings.retry_delay_s
        while True:
            try:
                offered = await self._source.watch(self._roster)
            except DependencyUnavailable:
                if not self._roster.members:
                    await self._look_around()
            else:
                if accepts(self._roster, offered):
                    self._take(offered)
                    pause_s = self._settings.retry_delay_s
                    continue
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._settings.health_period_s)

    async def _look_around(self) -> None:
        """Cold start without a supervisor: whoever exists may be able to answer."""
        try:
            found = await self._source.existing()
        except DependencyUnavailable:
            return
        self._take(Roster(0, 0, found))

    def _take(self, roster: Roster) -> None:
        if roster == self._roster:
            return
        self._roster = roster
        by_pool: dict[str, list[MemberIdentity]] = defaultdict(list)
        for member in sorted(roster.members):
            by_pool[member.pool].append(member)
        self._by_pool = {pool: tuple(members) for pool, members in by_pool.items()}
        self._nodes = dict(zip(roster.members, roster.nodes, strict=False))
        _log.debug("roster_changed", version=roster.version, members=len(roster.members))
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self._listeners:
            listener()
