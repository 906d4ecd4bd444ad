"""Erasure: the one thing that the log forgets."""

from actors.bus.domain import publishing
from actors.bus.messages import EraseSubject, Erasure
from actors.bus.store import ErasureStore
from actors.errors import NotAuthorized
from actors.runtime.message import Handlers, Permission


class ErasureSage:
    """Has keys destroyed. Holds no state."""

    def __init__(self, store: ErasureStore) -> None:
        self._store = store

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {EraseSubject: self.erase}

    async def erase(self, command: EraseSubject) -> Erasure:
        """For good. A repeat answers the first erasure, without an inbox row.

        There is none on purpose: it would hold a plain digest of the request, and with it one of
        the name.

        Raises:
            NotAuthorized: the caller is no administrator.
            ValidationError: no data subject can be called so.
        """
        if not command.context.caller.may(Permission.ADMIN):
            raise NotAuthorized(Permission.ADMIN)
        publishing.check_data_subject("subject", command.subject)
        return await self._store.erase(command)
