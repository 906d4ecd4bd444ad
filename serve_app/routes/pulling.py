"""Pulling: events on loan, and what became of them."""

from fastapi.responses import Response

from serve_app.access import API
from serve_app.call import Current
from serve_app.ids import SubscriptionPath
from serve_app.route import new_router
from serve_app.schemas.pulling import AckIn, NackIn, PulledEventsView, PullIn, pulled_json

router = new_router()
_ONE = f"{API}/subscriptions/{{name}}"


@router.post(_ONE + ":pull", response_model=PulledEventsView)
async def pull_events(call: Current, name: SubscriptionPath, body: PullIn) -> Response:
    """Lends what may be delivered now, waiting up to ``wait_s`` for the first.

    What is not acknowledged by ``lease_until`` is lent again; so is what was lent to a client that
    went away.
    """
    bounds = call.gateway.settings.bus
    outcome = await call.tell("bus", body.to_message(call.origin, name, bounds))
    return call.reply(pulled_json(outcome.unwrap()), headers={"Cache-Control": "no-store"})


@router.post(_ONE + ":ack", status_code=204)
async def ack_events(call: Current, name: SubscriptionPath, body: AckIn) -> Response:
    """Finishes these attempts, all or none; a repeat changes nothing.

    409 ``late_ack``: the lease of the one that ``event_id`` names has passed.
    """
    outcome = await call.tell("bus", body.to_message(call.origin, name))
    return call.empty(outcome.position)


@router.post(_ONE + ":nack", status_code=204)
async def nack_events(call: Current, name: SubscriptionPath, body: NackIn) -> Response:
    """Gives these attempts back, all or none; the last one of an event makes a dead letter.

    409 ``late_ack``: the lease of the one that ``event_id`` names has passed.
    """
    outcome = await call.tell("bus", body.to_message(call.origin, name))
    return call.empty(outcome.position)
