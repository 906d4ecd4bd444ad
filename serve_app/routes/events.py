"""The event log: publishing, browsing, the live stream, the schemas."""

from typing import Annotated

import orjson
from fastapi import Query, Request
from fastapi.responses import Response

from actors import cloudevents
from actors.bus.messages import GetSubscription, PublishEvents, SseSink
from actors.errors import ValidationError
from actors.events import SubscriptionMatched
from actors.runtime.message import Position
from serve_app import event_in, event_schemas
from serve_app.access import API
from serve_app.call import Call, Current, parse_position
from serve_app.event_schemas import Published
from serve_app.event_stream import EventStream, Feed, as_it_is, matched_by
from serve_app.problems import Problem
from serve_app.route import new_router
from serve_app.schemas.event import (
    PUBLISH_BODY,
    STREAM_ANSWER,
    EventFilter,
    EventsView,
    LastEventId,
    PublishedView,
    SchemasView,
    StreamFilter,
)
from serve_app.strict import JsonLimits

router = new_router()
_ALL = f"{API}/events"


@router.post(
    _ALL,
    response_model=PublishedView | list[PublishedView],
    status_code=201,
    openapi_extra=PUBLISH_BODY,
)
async def publish_events(call: Current, request: Request) -> Response:
    """Takes CloudEvents 1.0 in binary, structured or batch mode; all or none of a batch.

    Answers after the commit: 201, or 200 where the log had all of them already. An event is the
    same when its `source` and `id` are, so a repeat is harmless and needs no key.
    """
    settings = call.gateway.settings
    limits = JsonLimits(
        max_depth=settings.gateway.max_json_depth,
        max_keys=settings.gateway.max_bulk_json_keys,
        max_items=settings.gateway.max_json_items,
        max_digits=settings.gateway.max_digits,
    )
    arrived = event_in.parse(
        request.headers, await request.body(), limits, settings.bus.max_batch_events
    )
    outcome = await call.tell("bus", PublishEvents(**call.origin, events=arrived.events))
    published = outcome.unwrap()
    told = [
        {"id": one.event_id, "position": str(one.position), "duplicate": one.duplicate}
        for one in published
    ]
    return call.reply(
        orjson.dumps(told if arrived.batch else told[0]),
        status=200 if all(one.duplicate for one in published) else 201,
        position=outcome.position,
    )


@router.get(_ALL, response_model=EventsView)
async def list_events(call: Current, which: Annotated[EventFilter, Query()]) -> Response:
    """Lists events that the caller may see, newest first.

    What the caller may not see is left out of a page, which may therefore be short; the list ends
    where there is no `next_cursor`.
    """
    page = await call.ask("bus", which.to_message(call.context))
    listed = b",".join(cloudevents.structured(event) for event in page.events)
    body = b'{"events":[%s],"next_cursor":%s}' % (listed, orjson.dumps(page.next_cursor))
    return call.page(body, _ALL, page.next_cursor)


@router.get(f"{_ALL}/stream", response_class=Response, responses=STREAM_ANSWER)
async def stream_events(
    call: Current, which: Annotated[StreamFilter, Query()], last_event_id: LastEventId = None
) -> Response:
    """Streams events as they happen, as server-sent events.

    Each has the position to resume from as `id`, its type as `event` and a structured CloudEvent
    as `data`. With `Last-Event-ID` everything behind that position comes first, from the log. A
    stream ends when the token expires, when the server is about to stop, and when the reader owes
    more than it may; `event: error` is the last event of one that failed. Come again with the last
    `id`: nothing is missed, and what was seen may come again where transactions were open.
    """
    return EventStream(call, await _feed(call, which), _begin(which, last_event_id))


@router.get(f"{_ALL}/schemas", response_model=SchemasView)
async def list_schemas(request: Request) -> Response:
    """Lists every type of event with the address of its schema."""
    return _document(request, event_schemas.listing(), "application/json")


@router.get(f"{_ALL}/schemas/{{type}}", response_model=dict[str, object])
async def get_schema(request: Request, type: str) -> Response:
    """Answers the JSON Schema of a type's `data`; `custom.event` is that of all `custom.*`."""
    return _document(request, event_schemas.of(type), "application/schema+json")


def _document(request: Request, document: Published, media_type: str) -> Response:
    headers = {"ETag": document.etag, "Cache-Control": "private, max-age=3600"}
    known = request.headers.get("if-none-match", "")
    if known == "*" or document.etag in (tag.strip() for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(document.body, headers=headers, media_type=media_type)


def _begin(which: StreamFilter, header: str | None) -> Position | None:
    given = header or which.last_event_id
    return parse_position(given) if given else None


async def _feed(call: Call, which: StreamFilter) -> Feed:
    """The filter of the request, or that of the subscription which it names."""
    if which.subscription is None:
        return Feed(which.filter_spec, as_it_is)
    if which.filter_spec:
        raise ValidationError("subscription", "has a filter; give no other one beside it")
    question = GetSubscription(context=call.context, name=which.subscription)
    found = (await call.ask("bus", question)).subscription
    if not isinstance(found.sink, SseSink):
        raise ValidationError("subscription", f"is delivered to its {found.sink.kind} sink")
    if found.state != "active":
        raise Problem(409, f"the subscription is {found.state}; resume it first")
    if found.filter_spec.get("similar_to"):
        return Feed({"types": [SubscriptionMatched.type]}, matched_by(found.subscription_id))
    return Feed(found.filter_spec, as_it_is)
