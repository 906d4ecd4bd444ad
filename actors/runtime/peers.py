"""The other members of one's own pool, each called by its name."""

from collections.abc import Callable
from typing import Protocol

from actors.errors import DependencyUnavailable
from actors.runtime.directory import Directory
from actors.runtime.identity import MemberIdentity
from actors.runtime.message import Message, ReplyT
from actors.runtime.pool import Pool


class Peers(Protocol):
    """A pool as one of its members sees it."""

    def members(self) -> tuple[tuple[str, str], ...]:
        """Name and node of each member that takes messages, this one included once it does."""
        ...

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` after each change of the members, on the event loop."""
        ...

    async def expected(self) -> tuple[str, ...]:
        """The names of all members that exist, whether or not they take messages yet.

        Raises:
            DependencyUnavailable: nobody can tell.
        """
        ...

    async def ask(self, member: str, message: Message[ReplyT], *, timeout_s: float) -> ReplyT:
        """Asks one member, once.

        Raises:
            DependencyUnavailable: it takes no messages, or was lost with this one.
            ElderGuildError: what it answered.
        """
        ...


class PoolPeers:
    """`Peers` of a pool in this process's directory."""

    def __init__(self, name: str, pool: Pool, directory: Directory) -> None:
        self._name = name
        self._pool = pool
        self._directory = directory

    def members(self) -> tuple[tuple[str, str], ...]:
        """See `Peers.members`."""
        found = self._directory.members(self._name)
        return tuple((one.name, self._directory.node(one)) for one in found)

    def on_change(self, listener: Callable[[], None]) -> None:
        """See `Peers.on_change`."""
        self._directory.on_change(listener)

    async def expected(self) -> tuple[str, ...]:
        """See `Peers.expected`."""
        found = await self._directory.existing()
        return tuple(one.name for one in found if one.pool == self._name)

    async def ask(self, member: str, message: Message[ReplyT], *, timeout_s: float) -> ReplyT:
        """See `Peers.ask`."""
        identity = MemberIdentity.parse(member)
        if identity is None:
            raise DependencyUnavailable(self._name)
        return await self._pool.ask_member(identity, message, timeout_s=timeout_s)
