"""Events on the wire."""

import dataclasses
import pickle
from datetime import UTC, datetime
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from actors import events
from actors.events import CustomEvent, Payload


def example(kind: Any) -> Any:
    """The plainest value of an annotation."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        needed = [f for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
        return kind(**{field.name: example(hints[field.name]) for field in needed})
    if get_origin(kind) is tuple:
        return (example(get_args(kind)[0]),)
    if get_origin(kind) is dict:
        return {"team": "storage"}
    if kind is datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)
    if get_origin(kind) is not None:
        return get_args(kind)[0]
    return {str: "text", int: 3, float: 0.5, bool: True}[kind]


_OURS = [payload for payload in events.payload_types() if payload is not CustomEvent]


@pytest.mark.parametrize("payload", _OURS, ids=lambda payload: payload.type)
def test_a_payload_is_read_as_it_was_written(payload: type[Payload]) -> None:
    written = example(payload)

    read = events.decode(payload.type, events.encode(written))

    assert read == written
    assert pickle.loads(pickle.dumps(read)) == written  # noqa: S301  # our own bytes


def test_a_custom_event_is_carried_unread_under_its_own_name() -> None:
    data = '{"anything": [1, 2.50, null]}'

    read = events.decode("custom.shop.ordered", data)

    assert read == CustomEvent(name="custom.shop.ordered", data=data)
    assert (events.wire_type(read), events.encode(read)) == ("custom.shop.ordered", data)


@pytest.mark.parametrize("payload", _OURS, ids=lambda payload: payload.type)
def test_every_payload_has_a_json_schema(payload: type[Payload]) -> None:
    schema = events.json_schema(payload.type)

    assert schema["type"] == "object"


def test_the_schema_of_a_custom_event_refuses_nothing() -> None:
    schema = events.json_schema(CustomEvent.type)

    assert schema.keys() == {"description"}


def test_a_later_version_may_add_a_field() -> None:
    read = events.decode("sage.task.deleted", '{"task_id": "task_1", "added_later": 1}')

    assert read == events.TaskDeleted(task_id="task_1")


def test_an_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        events.decode("sage.unheard.of", "{}")


def test_two_payloads_cannot_share_a_name() -> None:
    with pytest.raises(TypeError, match=r"two payloads are called sage\.task\.deleted"):
        events.event_type("sage.task.deleted")(events.TaskDeleted)


def test_priorities_rank_from_low_to_critical() -> None:
    assert [priority.rank for priority in events.Priority] == [1, 2, 3, 4]
