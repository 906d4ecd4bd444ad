"""Our events as CloudEvents 1.0: which attribute says what. Pure.

The specification and its documented extensions: https://github.com/cloudevents/spec. An attribute
name has only lower-case letters and digits. ``severitynumber`` is OpenTelemetry's scale; that a
priority stands for a range of it is our mapping, no standard's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import orjson

from actors import events
from actors.events import Priority, StoredEvent

SPEC_VERSION = "1.0"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
DATA_TYPE = "application/json"
SCHEMAS = "/api/v1/events/schemas"

SEVERITY: Mapping[Priority, int] = MappingProxyType(
    {Priority.LOW: 5, Priority.NORMAL: 9, Priority.HIGH: 17, Priority.CRITICAL: 21}
)

Attribute = str | int | bool


def priority_of(severity: int) -> Priority:
    """The priority that a severity number, 1 to 24, stands for: the highest one it reaches."""
    reached = [priority for priority, least in SEVERITY.items() if severity >= least]
    return reached[-1] if reached else Priority.LOW


def attributes(event: StoredEvent) -> dict[str, Attribute]:
    """All context attributes; what the publisher added first, so that it hides none of ours."""
    told: dict[str, Attribute | None] = {
        **event.attributes,
        "specversion": SPEC_VERSION,
        "id": event.source_id or event.event_id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": timestamp(event.occurred_at),
        "datacontenttype": DATA_TYPE,
        "dataschema": f"{SCHEMAS}/{event.type}",
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "partitionkey": event.aggregate_id,
        "sequence": f"{event.aggregate_version:010d}",
        "severitynumber": SEVERITY[event.priority],
        "severitytext": event.priority.value,
        "recordedtime": None if event.recorded_at is None else timestamp(event.recorded_at),
        "authid": event.principal_id,
        "position": str(event.position),
        "sealedfor": event.sealed_for,
        "erased": True if event.is_erased else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def structured(event: StoredEvent) -> bytes:
    """The event in the JSON format, attributes and data in one object; erased data is absent."""
    if event.is_erased:
        return orjson.dumps(attributes(event))
    return orjson.dumps(
        {**attributes(event), "data": orjson.Fragment(events.encode(event.payload))}
    )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
