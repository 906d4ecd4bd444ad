"""Dead letters: look, deliver once more, or be done with them."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from serve_app.access import API
from serve_app.call import Current
from serve_app.route import new_router
from serve_app.schemas.dead_letter import (
    DeadLetterFilter,
    DeadLettersView,
    DiscardIn,
    DiscardView,
    RedriveIn,
    RedriveView,
    letters_json,
)

router = new_router()
_ALL = f"{API}/deadletters"


@router.get(_ALL, response_model=DeadLettersView)
async def list_dead_letters(call: Current, which: Annotated[DeadLetterFilter, Query()]) -> Response:
    """Lists deliveries that were given up, newest first, with reason and event."""
    page = await call.ask("bus", which.to_message(call.context))
    return call.page(letters_json(page), _ALL, page.next_cursor)


@router.post(_ALL + ":redrive", response_model=RedriveView, status_code=202)
async def redrive_dead_letters(call: Current, body: RedriveIn) -> Response:
    """Asks for one more delivery of those that wait; who asked stays with each."""
    outcome = await call.tell("bus", body.to_message(call.origin))
    view = RedriveView(requested=outcome.unwrap())
    return call.reply(view, status=202, position=outcome.position)


@router.post(_ALL + ":discard", response_model=DiscardView)
async def discard_dead_letters(call: Current, body: DiscardIn) -> Response:
    """Gives these up for good; they stay listed as discarded, with who said so."""
    outcome = await call.tell("bus", body.to_message(call.origin))
    view = DiscardView(discarded=outcome.unwrap())
    return call.reply(view, position=outcome.position)
