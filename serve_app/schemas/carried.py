"""Events inside answers: structured CloudEvents, their data as it was published."""

from typing import Annotated, Any

import orjson
from pydantic import Field

from actors import cloudevents
from actors.events import StoredEvent

CloudEvent = Annotated[
    dict[str, Any],
    Field(
        description="A CloudEvent 1.0 in the JSON format.",
        examples=[
            {
                "specversion": "1.0",
                "id": "order-17",
                "source": "/shop",
                "type": "custom.order.placed",
                "time": "2026-03-01T12:00:00.000Z",
                "datacontenttype": "application/json",
                "position": "1-7421-12",
                "data": {"total": 3},
            }
        ],
    ),
]


def carried(event: StoredEvent) -> orjson.Fragment:
    """The event as a part of an answer that `orjson` writes; numbers keep all their digits."""
    return orjson.Fragment(cloudevents.structured(event))
