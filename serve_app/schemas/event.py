"""Events over HTTP: what is asked for, and how it is documented."""

from typing import Annotated, Any, Literal

from fastapi import Header
from pydantic import ConfigDict, Field, StringConstraints

from actors.bus.messages import BrowseEvents
from actors.cloudevents import BATCH, STRUCTURED
from actors.runtime.message import Context
from serve_app.schemas.common import Paging, example
from serve_app.strict import Moment, Reference, Strict, View

_Pattern = Annotated[
    str, StringConstraints(max_length=120, pattern=r"^[A-Za-z0-9*][A-Za-z0-9._/:+*-]*$")
]
_Types = Annotated[
    list[_Pattern],
    Field(max_length=50, description="`*` stands for anything", examples=[["sage.incident.*"]]),
]
_Place = Annotated[str, StringConstraints(max_length=64)]

LastEventId = Annotated[
    _Place | None,
    Header(alias="Last-Event-ID", description="The last `id` that was seen; wins over the query."),
]


class EventFilter(Paging):
    """Which events are listed; nothing given: all."""

    types: _Types = Field(default_factory=list)
    correlation_id: Reference | None = None
    subject: Reference | None = None
    since: Moment | None = Field(default=None, description="recorded then or later")
    until: Moment | None = Field(default=None, description="recorded before")
    order: Literal["asc", "desc"] = Field(default="desc", description="desc: newest first")

    def to_message(self, context: Context) -> BrowseEvents:
        """The question."""
        return BrowseEvents(
            context=context,
            types=tuple(self.types),
            correlation_id=self.correlation_id,
            subject=self.subject,
            since=self.since,
            until=self.until,
            oldest_first=self.order == "asc",
            limit=self.limit,
            cursor=self.cursor,
        )


class StreamFilter(Strict):
    """Which events are streamed; nothing given: all from now on."""

    types: _Types = Field(default_factory=list)
    expression: str | None = Field(
        default=None, min_length=1, max_length=4_000, description="CEL over attributes and data"
    )
    subscription: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        description="one with the sink `sse`, whose filter holds instead",
    )
    last_event_id: _Place | None = Field(
        default=None, description="the position behind which to begin"
    )

    @property
    def filter_spec(self) -> dict[str, Any]:
        """As a subscription would have it."""
        spec: dict[str, Any] = {}
        if self.types:
            spec["types"] = self.types
        if self.expression is not None:
            spec["expression"] = self.expression
        return spec


_EVENT = {
    "specversion": "1.0",
    "id": "build-17",
    "source": "/ci/builds",
    "type": "custom.build.failed",
    "subject": "main",
    "time": "2026-03-01T12:00:00.000Z",
    "severitynumber": 17,
    "data": {"branch": "main", "step": "lint"},
}
_SHOWN = {
    **_EVENT,
    "datacontenttype": "application/json",
    "dataschema": "/api/v1/events/schemas/custom.build.failed",
    "correlationid": "cor_01k0000000000000000000000a",
    "partitionkey": "ext:/ci/builds#main",
    "sequence": "0000000003",
    "severitytext": "high",
    "recordedtime": "2026-03-01T12:00:00.012Z",
    "authid": "client_01k0000000000000000000000a",
    "position": "1-812-44",
}


class CloudEventView(View):
    """A structured CloudEvent: attributes of the specification, ours, the publisher's; and data."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    time: str
    position: str
    data: Any

    model_config = ConfigDict(extra="allow", json_schema_extra=example(**_SHOWN))


class EventsView(View):
    """A page of the guild's events."""

    events: tuple[CloudEventView, ...]
    next_cursor: str | None


class PublishedView(View):
    """What became of an event; of a duplicate, id and position of the first."""

    id: str
    position: str
    duplicate: bool

    model_config = ConfigDict(
        json_schema_extra=example(
            id="evt_01k0000000000000000000000a", position="1-812-44", duplicate=False
        )
    )


class SchemaRef(View):
    """Where a type's schema is; ``public``: may be published from outside."""

    type: str
    version: int
    public: bool
    url: str


class SchemasView(View):
    """Every type of event, and ``custom.event`` for all types of one's own."""

    schemas: tuple[SchemaRef, ...]


_OBJECT = {"type": "object"}
PUBLISH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One event (structured), several (batch), or data alone with `ce-` headers.",
        "content": {
            STRUCTURED: {"schema": _OBJECT, "example": _EVENT},
            BATCH: {"schema": {"type": "array", "items": _OBJECT}, "example": [_EVENT]},
            "application/json": {"schema": {}, "example": _EVENT["data"]},
        },
    }
}
STREAM_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events; `id` is the position to resume from.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": "id: 1-812-44\nevent: custom.build.failed\ndata: {…}\n\n",
            }
        },
    }
}
