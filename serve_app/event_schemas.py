"""What each type of event carries, as JSON Schema 2020-12; made once, from the types themselves."""

import hashlib
from functools import cache
from typing import NamedTuple

import orjson

from actors import events
from actors.cloudevents import SCHEMAS
from actors.errors import NotFound
from actors.events import CUSTOM_PREFIX, CustomEvent
from serve_app.schemas.event import SchemaRef, SchemasView

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Published(NamedTuple):
    """A document, and the entity tag that names exactly it."""

    body: bytes
    etag: str


@cache
def listing() -> Published:
    """Where the schema of each type is."""
    view = SchemasView(
        schemas=tuple(
            SchemaRef(
                type=payload.type,
                version=payload.schema_version,
                public=payload.public,
                url=f"{SCHEMAS}/{payload.type}",
            )
            for payload in events.payload_types()
        )
    )
    return _published(view.model_dump_json().encode())


def of(event_type: str) -> Published:
    """The schema of a type's ``data``; one for all types of one's own.

    Raises:
        NotFound: there is no such type.
    """
    if event_type.startswith(CUSTOM_PREFIX):
        event_type = CustomEvent.type
    if event_type not in _VERSIONS:
        raise NotFound("type of event", "")
    return _of(event_type)


@cache
def _of(event_type: str) -> Published:
    schema = {
        "$schema": _DIALECT,
        "$id": f"{SCHEMAS}/{event_type}",
        "title": event_type,
        "version": _VERSIONS[event_type],
        **{name: part for name, part in events.json_schema(event_type).items() if name != "title"},
    }
    return _published(orjson.dumps(schema))


def _published(body: bytes) -> Published:
    return Published(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


_VERSIONS = {payload.type: payload.schema_version for payload in events.payload_types()}
