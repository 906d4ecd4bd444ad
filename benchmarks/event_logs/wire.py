"""Our events as HTTP requests."""

from typing import Any

import orjson

from actors import cloudevents
from benchmarks.event_logs.drafts import PUBLISHED, SOURCE, Draft

PATH = "/api/v1/events"


def structured(draft: Draft) -> dict[str, Any]:
    """The event in CloudEvents' JSON format."""
    return {
        "specversion": cloudevents.SPEC_VERSION,
        "id": draft.source_id,
        "source": f"{SOURCE}/http",
        "type": PUBLISHED,
        "subject": draft.key,
        "datacontenttype": cloudevents.DATA_TYPE,
        "data": orjson.Fragment(draft.data),
    }


def request(port: int, token: str, media: str, body: bytes) -> bytes:
    """As it goes over the wire."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
