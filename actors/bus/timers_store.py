"""What the bus needs kept of timers."""

from typing import Protocol

from actors.bus.messages import CancelTimer, ListTimers, SetTimer, Timer, TimerPage
from actors.runtime.message import GuildId
from actors.storage.timers import NewTimer


class TimerStore(Protocol):
    """Timers of one guild a call."""

    async def set(self, timer: NewTimer, cause: SetTimer, most: int) -> Timer:
        """Keeps it, with the command's reply, which is also the answer.

        Raises:
            ValidationError: ``most`` timers wait already.
            AlreadyHandled: the command took effect before.
        """

    async def cancel(self, cause: CancelTimer) -> Timer:
        """Makes it cancelled, with the command's reply, which is also the answer.

        Raises:
            VersionConflict: it does not wait any more.
            AlreadyHandled: the command took effect before.
        """

    async def get(self, guild_id: GuildId, timer_id: str) -> Timer | None:
        """One of them, or None."""

    async def page(self, query: ListTimers) -> TimerPage:
        """The next due first.

        Raises:
            ValidationError: the cursor is not one of ours.
        """
