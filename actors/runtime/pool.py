"""How anybody calls a sage."""

from typing import Protocol

from actors.runtime.message import Message, Outcome, ReplyT


class Asker(Protocol):
    """A pool as its callers see it."""

    async def ask(self, message: Message[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        """Sends the message and returns its reply.

        Cancelling the call cancels the wait. Work that has reached a member goes on.

        Args:
            message: what to ask.
            timeout_s: seconds the whole of it may take; None: the configured default.

        Raises:
            ElderGuildError: the expected failure that the sage, or the way to it, answered.
        """
        ...

    async def ask_outcome(
        self, message: Message[ReplyT], *, timeout_s: float | None = None
    ) -> Outcome[ReplyT]:
        """Like `ask`, with the position of what was written; failures are values here."""
        ...
