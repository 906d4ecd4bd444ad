"""A pool in this process, for unit tests: same wrapper chain, same pickling, no Ray."""

import asyncio
import pickle  # nosec B403  # what Ray does to every message between our own processes
from typing import Any

from actors.runtime.handling import Handling
from actors.runtime.ledger import Ledger
from actors.runtime.message import Handlers, Message, Outcome, ReplyT
from actors.runtime.pickling import dumps


class LocalPool:
    """An `Asker` that handles messages here.

    Every message and every outcome goes through pickle, so what could not cross a process
    fails in a unit test already.
    """

    def __init__(self, handlers: Handlers, ledger: Ledger | None = None) -> None:
        self._handling = Handling(handlers, ledger)

    async def ask(self, message: Message[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        """The reply, or raises the error the handler answered."""
        outcome = await self.ask_outcome(message, timeout_s=timeout_s)
        return outcome.unwrap()

    async def ask_outcome(
        self, message: Message[ReplyT], *, timeout_s: float | None = None
    ) -> Outcome[ReplyT]:
        """Handles a copy of the message in a task of its own."""
        arrived: Message[ReplyT] = _across(message)
        task = asyncio.create_task(self._handling.run(arrived, timeout_s=timeout_s))
        outcome: Outcome[ReplyT] = _across(await asyncio.shield(task))
        return outcome


def _across(value: Any) -> Any:
    return pickle.loads(dumps(value))  # noqa: S301  # nosec B301  # our own bytes
