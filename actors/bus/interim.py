"""What stands in for the whole of an event in another."""

from typing import Any

import orjson

from actors import events
from actors.events import StoredEvent


def structured(event: StoredEvent) -> str:
    """The event as a structured CloudEvent."""
    told: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.source_id or event.event_id,
        "source": event.source,
        "type": event.type,
        "time": event.occurred_at,
        "correlationid": event.correlation_id,
        "data": orjson.Fragment(events.encode(event.payload)),
    }
    return orjson.dumps({name: value for name, value in told.items() if value}).decode()
