"""The shortest way to a member: its socket when it runs on this node, else Ray."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from actors.runtime.envelope import Answer, Batch
from actors.runtime.mailbox import MemberLost, MemberPort
from actors.runtime.sockets import ConnectionLost, NobodyListens, SocketClient

_T = TypeVar("_T")


class NearestPort:
    """A `MemberPort` with a way around: where nobody listens, the other port decides."""

    def __init__(self, socket: SocketClient, otherwise: MemberPort) -> None:
        self._socket = socket
        self._otherwise = otherwise

    @property
    def name(self) -> str:
        """The actor's name."""
        return self._otherwise.name

    @property
    def direct(self) -> bool:
        """See `MemberPort.direct`."""
        return self._socket.connected

    async def submit(self, batch: Batch) -> Answer:
        """See `MemberPort.submit`."""
        return await self._call("submit", batch, self._otherwise.submit)

    async def collect(self, caller: str) -> Answer:
        """See `MemberPort.collect`."""
        return await self._call("collect", caller, self._otherwise.collect)

    async def close(self) -> None:
        """See `MemberPort.close`."""
        await self._socket.close()
        await self._otherwise.close()

    async def _call(
        self, name: str, argument: _T, otherwise: Callable[[_T], Awaitable[Answer]]
    ) -> Answer:
        try:
            answer: Answer = await self._socket.call(name, argument)
        except NobodyListens:
            return await otherwise(argument)
        except ConnectionLost:
            raise MemberLost(self.name, sent=True) from None
        return answer
