"""An event inside another: as a text, and back, with nothing lost. Pure."""

import dataclasses

import orjson
import pydantic

from actors import events
from actors.events import StoredEvent, SubscriptionMatched
from actors.runtime.message import Position

_stored = pydantic.TypeAdapter(StoredEvent)
_ENVELOPE = {field.name for field in dataclasses.fields(StoredEvent)} - {"payload", "position"}
_BEHIND_DATA = ',"event_id":'


def carry(event: StoredEvent) -> str:
    """A JSON object: ``data`` as it is in the log, then the envelope, its ``position`` last.

    Whoever renumbers a log finds the position at the end.
    """
    envelope = {
        **_stored.dump_python(event, mode="json", include=_ENVELOPE),
        "type": event.type,
        "position": str(event.position),
    }
    told = orjson.dumps(envelope).decode()
    return f'{{"data":{events.encode(event.payload)},{told[1:]}'


def carried(text: str) -> StoredEvent:
    """The event that ``carry`` wrote.

    Raises:
        ValueError: it did not, or of an event that this version cannot read.
    """
    # Read by hand: a number of the data may have more digits than a JSON library keeps. No text of
    # the envelope holds an unescaped quotation mark, and no attribute's name an underscore.
    before, found, behind = text.rpartition(_BEHIND_DATA)
    if not found:
        raise ValueError("not an event that is carried")
    envelope = orjson.loads(f'{{"event_id":{behind}')
    try:
        payload = events.decode(envelope["type"], before.removeprefix('{"data":'))
        position = Position.parse(envelope["position"])
    except (KeyError, TypeError) as error:
        raise ValueError("an event that is not known here") from error
    return _stored.validate_python({**envelope, "payload": payload, "position": position})


def original(event: StoredEvent) -> StoredEvent:
    """The event that matched, under its own id and at its own position; any other as it is.

    One that cannot be read here is left inside: who asked for it hears at least that it matched.
    """
    payload = event.payload
    if not isinstance(payload, SubscriptionMatched):
        return event
    try:
        found = carried(payload.event)
    except ValueError:
        return event
    here = (event.guild_id, event.position.epoch, payload.event_id)
    return found if here == (found.guild_id, found.position.epoch, found.event_id) else event
