"""What sagas need kept."""

from collections.abc import Sequence
from typing import Protocol

from actors.bus.messages import ListSagas, Saga, SagaPage
from actors.bus.sagas.engine import SagaState
from actors.events import DeliverEvent, Payload
from actors.runtime.message import GuildId


class SagaStore(Protocol):
    """Sagas of one guild a call."""

    async def load(self, guild_id: GuildId, saga_id: str) -> SagaState | None:
        """As it was last written."""

    async def keep(self, state: SagaState) -> SagaState:
        """Writes the state as the next version of ``state.version``, and answers it.

        Raises:
            VersionConflict: it is at another version.
        """

    async def commit(
        self, state: SagaState, cause: DeliverEvent, happened: Sequence[Payload]
    ) -> None:
        """Like `keep`, with the delivery's inbox row and what happened, in one transaction.

        Raises:
            VersionConflict: it is at another version.
            AlreadyHandled: the delivery took effect before.
        """

    async def get(self, guild_id: GuildId, saga_id: str) -> Saga | None:
        """As people see it."""

    async def page(self, query: ListSagas) -> SagaPage:
        """The newest first.

        Raises:
            ValidationError: the cursor is not one of ours.
        """
