"""Timers over HTTP."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from actors.bus.messages import ListTimers, SetTimer
from actors.runtime.message import Context
from serve_app.call import Origin
from serve_app.schemas.common import Paging, example
from serve_app.strict import Line, Moment, Shown, Strict, View

TimerState = Literal["pending", "fired", "cancelled"]
_Data = Annotated[dict[str, Any], Field(max_length=100)]


class TimerIn(Strict):
    """When ``system.timer.fired`` is published: once at ``due_at``, or again and again by ``cron``.

    ``cron`` has five fields and is read in ``timezone``.
    """

    name: Line = Field(max_length=200)
    due_at: Moment | None = None
    cron: Line | None = Field(default=None, max_length=200)
    timezone: Line = Field(default="UTC", max_length=64)
    data: _Data = Field(default_factory=dict)

    model_config = ConfigDict(
        json_schema_extra=example(
            name="weekly-report",
            cron="0 8 * * mon",
            timezone="Europe/Berlin",
            data={"report": "incidents"},
        )
    )

    def to_message(self, origin: Origin) -> SetTimer:
        """The command."""
        return SetTimer(
            **origin,
            name=self.name,
            due_at=self.due_at,
            cron=self.cron,
            timezone=self.timezone,
            data=self.data,
        )


class TimerFilter(Paging):
    """Which timers are listed; no state given: those that wait."""

    state: list[TimerState] = Field(default_factory=list, max_length=3)

    def to_message(self, context: Context) -> ListTimers:
        """The question."""
        return ListTimers(
            context=context,
            states=tuple(self.state) or ("pending",),
            limit=self.limit,
            cursor=self.cursor,
        )


class TimerView(View):
    """A timer; ``due_at`` is when it fires next, or did last."""

    timer_id: str
    name: str
    due_at: Shown
    cron: str | None
    timezone: str
    data: dict[str, Any]
    state: TimerState
    fired: int
    created_at: Shown
    created_by: str


class TimersView(View):
    """A page of timers, the next due first."""

    items: tuple[TimerView, ...] = Field(validation_alias="timers")
    next_cursor: str | None
