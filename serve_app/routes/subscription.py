"""Subscriptions: what a guild wants to hear."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors.bus.messages import (
    DeleteSubscription,
    GetSubscription,
    PauseSubscription,
    ResumeSubscription,
    RotateSecret,
    SubscriptionInfo,
)
from actors.runtime.message import Command, Permission, Position
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import NewSubscriptionPath, SubscriptionPath
from serve_app.route import new_router
from serve_app.schemas.subscription import (
    SeekIn,
    SubscriptionFilter,
    SubscriptionIn,
    SubscriptionsView,
    SubscriptionView,
    SubscriptionWithSecretView,
)

router = new_router()
_ALL = f"{API}/subscriptions"
_ONE = f"{API}/subscriptions/{{name}}"


def _view(call: Call, info: SubscriptionInfo) -> SubscriptionView:
    """Whole for those who might have declared it."""
    if info.secret is not None:
        return SubscriptionWithSecretView.from_made(info)
    return SubscriptionView.from_reply(info, whole=call.caller.may(Permission.DELETE))


def _reply(call: Call, info: SubscriptionInfo, position: Position | None = None) -> Response:
    headers = {}
    if info.made:
        headers["Location"] = f"{_ALL}/{info.subscription.name}"
    if info.secret is not None:
        headers["Cache-Control"] = "no-store"
    return call.reply(
        _view(call, info),
        status=201 if info.made else 200,
        version=info.subscription.version,
        position=position,
        headers=headers,
    )


async def _change(call: Call, command: Command[SubscriptionInfo]) -> Response:
    """Sends a command that answers the subscription."""
    outcome = await call.tell("bus", command)
    return _reply(call, outcome.unwrap(), outcome.position)


@router.get(_ALL, response_model=SubscriptionsView)
async def list_subscriptions(
    call: Current, which: Annotated[SubscriptionFilter, Query()]
) -> Response:
    """Lists subscriptions by name, each with how it stands."""
    page = await call.ask("bus", which.to_message(call.context))
    items = tuple(_view(call, info) for info in page.subscriptions)
    view = SubscriptionsView(items=items, next_cursor=page.next_cursor)
    return call.page(view, _ALL, page.next_cursor)


@router.put(
    _ONE,
    response_model=SubscriptionView,
    responses={201: {"model": SubscriptionWithSecretView, "description": "It was made."}},
)
async def put_subscription(
    call: Current, name: NewSubscriptionPath, body: SubscriptionIn
) -> Response:
    """Makes a subscription, or replaces its declaration; the kind of its sink stays.

    The answer that makes a webhook holds its signing secret, and no later one does.
    """
    return await _change(call, body.to_message(call.origin, name, call.expected_version))


@router.get(_ONE, response_model=SubscriptionView)
async def get_subscription(call: Current, name: SubscriptionPath) -> Response:
    """Reads a subscription: what was declared, and how far it has come."""
    return _reply(call, await call.ask("bus", GetSubscription(context=call.context, name=name)))


@router.delete(_ONE, status_code=204)
async def delete_subscription(call: Current, name: SubscriptionPath) -> Response:
    """Ends a subscription, with what waited to be pulled; its dead letters stay."""
    command = DeleteSubscription(**call.origin, name=name, expected_version=call.version)
    outcome = await call.tell("bus", command)
    return call.empty(outcome.position)


@router.post(_ONE + ":pause", response_model=SubscriptionView)
async def pause_subscription(call: Current, name: SubscriptionPath) -> Response:
    """Stops delivering until it is resumed; nothing is lost."""
    return await _change(call, PauseSubscription(**call.origin, name=name))


@router.post(_ONE + ":resume", response_model=SubscriptionView)
async def resume_subscription(call: Current, name: SubscriptionPath) -> Response:
    """Goes on where it stopped; a webhook that was given up is asked again first."""
    return await _change(call, ResumeSubscription(**call.origin, name=name))


@router.post(_ONE + ":seek", response_model=SubscriptionView)
async def seek_subscription(call: Current, name: SubscriptionPath, body: SeekIn) -> Response:
    """Begins anew elsewhere, as a new generation: what is heard again takes effect again."""
    return await _change(call, body.to_message(call.origin, name))


@router.post(_ONE + ":rotate-secret", response_model=SubscriptionWithSecretView)
async def rotate_secret(call: Current, name: SubscriptionPath) -> Response:
    """Makes a webhook's next signing secret and shows it, once.

    Deliveries carry both signatures until the next rotation.
    """
    return await _change(call, RotateSecret(**call.origin, name=name))
