"""What stands in for filters on content."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from actors import events
from actors.errors import ValidationError
from actors.events import StoredEvent


def compile_filter(spec: Mapping[str, Any]) -> Callable[[StoredEvent], bool]:
    """By type alone."""
    types = spec.get("types") or ["*"]
    if not isinstance(types, list | tuple) or not all(isinstance(one, str) for one in types):
        raise ValidationError("filter.types", "are not texts")
    if spec.get("expression"):
        raise ValidationError("filter.expression", "is not possible yet")
    pattern = re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in types))
    return lambda event: pattern.fullmatch(event.type) is not None


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
