"""A mailbox and a member in one process, without Ray, whose connection the test can break."""

import asyncio
from typing import Any

from actors.runtime.envelope import Answer, Batch, seal
from actors.runtime.handling import Handling
from actors.runtime.mailbox import Mailbox, MemberLost
from actors.runtime.message import Message, Outcome
from actors.runtime.workload import Workload
from actors.settings import RuntimeSettings
from tests.unit.runtime.samples import Abacus

SETTINGS = RuntimeSettings(worth_a_call=1, linger_ms=5, collect_timeout_s=1, submit_timeout_s=1)


class Connection:
    """A `MemberPort` to a member in this process.

    Attributes:
        batches: what was submitted.
        cut: while true, calls fail, and calls under way fail when it is set by `break_now`.
        reached: while false, calls fail and are known never to have arrived.
    """

    name = "echo/1/0"
    direct = False

    def __init__(self, sage: Abacus, settings: RuntimeSettings = SETTINGS, run: str = "run_1"):
        self.batches: list[Batch] = []
        self.cut = False
        self.reached = True
        self.hold: asyncio.Event | None = None
        self._settings = settings
        self.workload = self._workload(sage, settings, run)
        self._calls: set[asyncio.Task[Answer]] = set()

    async def submit(self, batch: Batch) -> Answer:
        if not self.reached:
            raise MemberLost(self.name, sent=False)
        self.batches.append(batch)
        if self.hold is not None:
            await self.hold.wait()
        return await self._call(self.workload.submit(batch))

    async def collect(self, caller: str) -> Answer:
        return await self._call(self.workload.collect(caller))

    async def close(self) -> None:
        self.break_now()

    def break_now(self) -> None:
        self.cut = True
        for call in self._calls:
            call.cancel()

    def restart(self, sage: Abacus, run: str = "run_2") -> None:
        """Another process takes the place of the old one, unseen by the caller."""
        self.workload = self._workload(sage, self._settings, run)

    async def _call(self, work: Any) -> Answer:
        call: asyncio.Task[Answer] = asyncio.ensure_future(work)
        self._calls.add(call)
        try:
            if self.cut:
                raise asyncio.CancelledError
            return await call
        except asyncio.CancelledError:
            if not self.cut:
                raise
            call.cancel()
            raise MemberLost(self.name, sent=True) from None
        finally:
            self._calls.discard(call)

    def _workload(self, sage: Abacus, settings: RuntimeSettings, run: str) -> Workload:
        handling = Handling(sage.handlers(), pool="echo")

        async def handle(message: Message[Any], timeout_s: float, attempt: int) -> Outcome[Any]:
            return await handling.run(message, timeout_s=timeout_s, attempt=attempt)

        return Workload("echo", run, handle, settings)


def mailbox(connection: Connection, settings: RuntimeSettings = SETTINGS) -> Mailbox:
    return Mailbox(connection, "echo", settings)


async def ask(box: Mailbox, message: Message[Any], timeout_s: float = 5) -> Any:
    """The reply to one message."""
    return (await box.ask(seal(message), timeout_s, 1)).unwrap()


async def settled(rounds: int = 20) -> None:
    """Lets everything that can run now, run."""
    for _ in range(rounds):
        await asyncio.sleep(0)
