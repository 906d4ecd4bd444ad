"""How a command that was handled before is answered again instead of being done again."""

from typing import Any, Protocol

from actors.runtime.message import Command, Message
from actors.storage.inbox import Recalled


class Ledger(Protocol):
    """Remembers the replies of commands; `actors.storage.inbox.Inbox` is the real one."""

    async def recall(self, command: Command[Any]) -> Recalled[Any] | None:
        """The reply recorded for this command id, or None when it was never handled.

        Raises:
            ValidationError: the id was used before for another request.
        """


def may_be_a_repeat(message: Message[Any], attempt: int) -> bool:
    """Whether asking the ledger first is worth its round trip.

    An id that the gateway has just made (``cmd_…``) is new unless we are the ones who repeat it;
    an id of a client or of an event may have been seen at any time. Skipping the question is safe:
    the commit records the command in the same transaction and refuses a second one.
    """
    if not isinstance(message, Command) or message.recalls:
        return False
    return attempt > 1 or not message.command_id.startswith("cmd_")
