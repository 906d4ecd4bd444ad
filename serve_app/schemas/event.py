"""Events over HTTP: what is asked for, and how it is documented."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from actors.bus.messages import BrowseEvents
from actors.cloudevents import BATCH, STRUCTURED
from actors.runtime.message import Context
from serve_app.schemas.common import Paging, example
from serve_app.strict import Moment, Reference, View

_Pattern = Annotated[
    str, StringConstraints(max_length=120, pattern=r"^[A-Za-z0-9*][A-Za-z0-9._/:+*-]*$")
]
_Types = Annotated[
    list[_Pattern],
    Field(max_length=50, description="`*` stands for anything", examples=[["sage.incident.*"]]),
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
