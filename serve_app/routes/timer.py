"""Timers: an event when it is time."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors.bus.messages import CancelTimer, GetTimer, Timer
from actors.runtime.message import Command
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import TimerPath
from serve_app.route import new_router
from serve_app.schemas.timer import TimerFilter, TimerIn, TimersView, TimerView

router = new_router()
_ALL = f"{API}/timers"
_ONE = f"{API}/timers/{{timer_id}}"


async def _tell(call: Call, command: Command[Timer], status: int = 200) -> Response:
    """Sends a command that answers the timer."""
    outcome = await call.tell("bus", command)
    timer = outcome.unwrap()
    return call.reply(
        TimerView.model_validate(timer),
        status=status,
        position=outcome.position,
        headers={"Location": f"{_ALL}/{timer.timer_id}"} if status == 201 else None,
    )


@router.get(_ALL, response_model=TimersView)
async def list_timers(call: Current, which: Annotated[TimerFilter, Query()]) -> Response:
    """Lists timers, the next due first; also those that the sages have set."""
    page = await call.ask("bus", which.to_message(call.context))
    return call.page(TimersView.model_validate(page), _ALL, page.next_cursor)


@router.post(_ALL, response_model=TimerView, status_code=201)
async def set_timer(call: Current, body: TimerIn) -> Response:
    """Sets a timer; a time that has passed is due at once."""
    return await _tell(call, body.to_message(call.origin), 201)


@router.get(_ONE, response_model=TimerView)
async def get_timer(call: Current, timer_id: TimerPath) -> Response:
    """Reads a timer."""
    timer = await call.ask("bus", GetTimer(context=call.context, timer_id=timer_id))
    return call.reply(TimerView.model_validate(timer))


@router.post(_ONE + ":cancel", response_model=TimerView)
async def cancel_timer(call: Current, timer_id: TimerPath) -> Response:
    """It will not fire any more; one that a sage has set is an administrator's to cancel."""
    return await _tell(call, CancelTimer(**call.origin, timer_id=timer_id))
