"""Replays: a stretch of the log, once more, for one subscription."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors.bus.messages import CancelReplay, GetReplay, Replay
from actors.runtime.message import Command
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import ReplayPath, SubscriptionPath
from serve_app.route import new_router
from serve_app.schemas.replay import ReplayFilter, ReplayIn, ReplaysView, ReplayView
from serve_app.schemas.subscription import StretchIn

router = new_router()
_ALL = f"{API}/replays"
_ONE = f"{API}/replays/{{replay_id}}"


async def _tell(call: Call, command: Command[Replay], status: int) -> Response:
    """Sends a command that answers the replay."""
    outcome = await call.tell("bus", command)
    replay = outcome.unwrap()
    return call.reply(
        ReplayView.model_validate(replay),
        status=status,
        version=replay.version,
        position=outcome.position,
        headers={"Location": f"{_ALL}/{replay.replay_id}"} if status == 202 else None,
    )


@router.get(_ALL, response_model=ReplaysView)
async def list_replays(call: Current, which: Annotated[ReplayFilter, Query()]) -> Response:
    """Lists replays, newest first."""
    page = await call.ask("bus", which.to_message(call.context))
    return call.page(ReplaysView.model_validate(page), _ALL, page.next_cursor)


@router.post(_ALL, response_model=ReplayView, status_code=202)
async def start_replay(call: Current, body: ReplayIn) -> Response:
    """Starts delivering a stretch again; it takes effect again there, and nowhere else."""
    return await _tell(call, body.to_message(call.origin, body.subscription), 202)


@router.post(f"{API}/subscriptions/{{name}}:replay", response_model=ReplayView, status_code=202)
async def replay_subscription(call: Current, name: SubscriptionPath, body: StretchIn) -> Response:
    """The same, for the subscription of the address."""
    return await _tell(call, body.to_message(call.origin, name), 202)


@router.get(_ONE, response_model=ReplayView)
async def get_replay(call: Current, replay_id: ReplayPath) -> Response:
    """Reads a replay and how far it has come."""
    replay = await call.ask("bus", GetReplay(context=call.context, replay_id=replay_id))
    return call.reply(ReplayView.model_validate(replay), version=replay.version)


@router.post(_ONE + ":cancel", response_model=ReplayView)
async def cancel_replay(call: Current, replay_id: ReplayPath) -> Response:
    """Stops it where it is; what was delivered stays delivered."""
    return await _tell(call, CancelReplay(**call.origin, replay_id=replay_id), 200)
