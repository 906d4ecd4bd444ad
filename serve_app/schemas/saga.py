"""Sagas over HTTP."""

from typing import Literal

from pydantic import Field

from actors.bus.messages import ListSagas
from actors.runtime.message import Context
from serve_app.schemas.common import Paging
from serve_app.strict import Shown, View

SagaState = Literal["running", "completed", "compensating", "compensated", "failed"]


class SagaFilter(Paging):
    """Which sagas are listed; no state given: all."""

    state: list[SagaState] = Field(default_factory=list, max_length=5)

    def to_message(self, context: Context) -> ListSagas:
        """The question."""
        return ListSagas(
            context=context, states=tuple(self.state), limit=self.limit, cursor=self.cursor
        )


class SagaView(View):
    """A process of several steps and how each stands."""

    saga_id: str
    kind: str
    state: SagaState
    steps: dict[str, str]
    reason: str
    correlation_id: str
    version: int
    created_at: Shown
    updated_at: Shown


class SagasView(View):
    """A page of sagas, newest first."""

    items: tuple[SagaView, ...] = Field(validation_alias="sagas")
    next_cursor: str | None
