"""Replays over HTTP."""

from typing import Literal

from pydantic import ConfigDict, Field

from actors.bus.messages import ListReplays
from actors.runtime.message import Context
from serve_app.schemas.common import Paging, example
from serve_app.schemas.place import ShownPosition
from serve_app.schemas.subscription import StretchIn
from serve_app.strict import Line, Shown, View


class ReplayIn(StretchIn):
    """A stretch of the log that one subscription hears again, and nobody else."""

    subscription: Line = Field(max_length=63)

    model_config = ConfigDict(
        json_schema_extra=example(
            subscription="billing", begin={"time": "2026-03-01T12:00:00Z"}, end="end", speed=1
        )
    )


class ReplayFilter(Paging):
    """Which part of the list."""

    def to_message(self, context: Context) -> ListReplays:
        """The question."""
        return ListReplays(context=context, limit=self.limit, cursor=self.cursor)


class ReplayView(View):
    """A replay and how far it has come: behind ``begin``, up to and with ``end``."""

    replay_id: str
    subscription: str
    begin: ShownPosition
    end: ShownPosition
    speed: float
    state: Literal["running", "completed", "cancelled"]
    delivered: int
    version: int
    created_at: Shown
    created_by: str
    finished_at: Shown | None


class ReplaysView(View):
    """A page of replays, newest first."""

    items: tuple[ReplayView, ...] = Field(validation_alias="replays")
    next_cursor: str | None
