"""The shortest way to a member: its socket when it runs on this node, else Ray."""

from actors.runtime.envelope import Answer, Batch
from actors.runtime.mailbox import MemberLost, MemberPort
from actors.runtime.sockets import ConnectionLost, NobodyListens, SocketClient


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
        try:
            answer: Answer = await self._socket.call("submit", batch)
        except NobodyListens:
            return await self._otherwise.submit(batch)
        except ConnectionLost:
            raise MemberLost(self.name, sent=True) from None
        return answer

    async def collect(self, caller: str) -> Answer:
        """See `MemberPort.collect`."""
        try:
            answer: Answer = await self._socket.call("collect", caller)
        except NobodyListens:
            return await self._otherwise.collect(caller)
        except ConnectionLost:
            raise MemberLost(self.name, sent=True) from None
        return answer

    async def close(self) -> None:
        """See `MemberPort.close`."""
        await self._socket.close()
        await self._otherwise.close()
