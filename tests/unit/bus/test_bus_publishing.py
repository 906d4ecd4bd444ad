"""What may be published, and the line it becomes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import clock
from actors.bus.domain import publishing
from actors.bus.domain.publishing import Line
from actors.errors import ValidationError
from actors.events import Priority
from actors.settings import BusSettings
from tests.fixtures.bus_builders import NOON, new_event, publish

BOUNDS = BusSettings(max_event_bytes=2048, max_batch_events=5)


def lines(*events: object) -> list[Line]:
    command = publish(*events)  # type: ignore[arg-type]
    return publishing.lines(command, BOUNDS, NOON, clock.new_ids)


def test_an_event_becomes_a_line_of_its_guilds_caller() -> None:
    event = new_event(
        "7", subject="order/7", priority=Priority.HIGH, attributes={"tenant": "a", "retry": 2}
    )

    (line,) = lines(event)

    assert line._replace(event_id="") == Line(
        event_id="",
        source="/shop",
        source_id="7",
        type="custom.order.placed",
        schema_version=1,
        subject="order/7",
        aggregate_id="ext:/shop#order/7",
        priority="high",
        occurred_at=NOON,
        correlation_id="cor_1",
        causation_id=None,
        principal_id="user_1",
        attributes='{"tenant":"a","retry":2}',
        sealed_for=None,
        data='{"total":3}',
    )


def test_its_own_time_correlation_and_cause_are_kept() -> None:
    earlier = datetime(2025, 5, 1, tzinfo=UTC)

    (line,) = lines(new_event(occurred_at=earlier, correlation_id="cor_2", causation_id="evt_2"))

    assert (line.occurred_at, line.correlation_id, line.causation_id) == (earlier, "cor_2", "evt_2")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "ext:/shop#"),
        ({"subject": "s"}, "ext:/shop#s"),
        ({"subject": "s", "partition_key": "p"}, "ext:/shop#p"),
    ],
)
def test_events_are_ordered_by_key_else_subject_else_source(
    changes: dict[str, Any], expected: str
) -> None:
    (line,) = lines(new_event(**changes))

    assert line.aggregate_id == expected


@given(st.text(), st.text())
def test_an_aggregate_id_is_short_and_begins_like_one_from_outside(source: str, key: str) -> None:
    made = publishing.aggregate_id(source, key)

    assert made.startswith("ext:")
    assert len(made) <= publishing.MAX_AGGREGATE


def test_long_keys_keep_apart() -> None:
    made = {publishing.aggregate_id("/s", "x" * 300 + end) for end in "ab"}

    assert len(made) == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "sage.incident.created"}, "type"),
        ({"type": "system.timer.fired"}, "type"),
        ({"type": "unheard.of"}, "type"),
        ({"type": "custom."}, "type"),
        ({"type": "custom.a b"}, "type"),
        ({"type": "custom.a\n"}, "type"),
        ({"type": "custom." + "x" * 120}, "type"),
        ({"data": "{"}, "data"),
        ({"data": ""}, "data"),
        ({"data": "NaN"}, "data"),
        ({"data": '"\x1f"'}, "data"),
        ({"data": "[1,\x1e2]"}, "data"),
        ({"data": "1e999"}, "data"),
        ({"data": '"\\ud800"'}, "data"),
        ({"data": '"\ud800"'}, "data"),
        ({"data": '"\\u0000"'}, "data"),
        ({"data": '{"\\\\\\u0000":1}'}, "data"),
        ({"data": '"' + "x" * 2048 + '"'}, "data"),
        ({"data": '"' + "ü" * 1100 + '"'}, "data"),
        ({"source": ""}, "source"),
        ({"source": "a\x00"}, "source"),
        ({"source": "a\x1f"}, "source"),
        ({"source": "ü\x85"}, "source"),
        ({"source": "ü" * 600}, "source"),
        ({"source_id": ""}, "id"),
        ({"source_id": "x" * 501}, "id"),
        ({"subject": "\ud800"}, "subject"),
        ({"partition_key": "x" * 1001}, "partitionkey"),
        ({"correlation_id": "x" * 301}, "correlationid"),
        ({"occurred_at": datetime(2026, 1, 1)}, "time"),  # without an offset
        ({"attributes": {"Upper": "a"}}, "attributes"),
        ({"attributes": {"a": "\x00"}}, "a"),
        ({"attributes": {"a": "x" * 5000}}, "attributes"),
        ({"attributes": {f"a{number}": 1 for number in range(33)}}, "attributes"),
        ({"type": "integration.sync.required", "data": "{}"}, "data.system"),
        ({"type": "integration.sync.required", "data": '{"system":1}'}, "data.system"),
    ],
)
def test_what_cannot_be_published_is_named_with_its_place(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        lines(new_event(), new_event(**changes))

    assert caught.value.field == f"events[1].{field}"


@pytest.mark.parametrize(
    "data", ["null", "3", '"text"', "[]", '"\\\\u0000"', '"\\u0041"', ' {"a": [1, 2.5, "ü"]} ']
)
def test_any_json_value_is_carried_as_it_is(data: str) -> None:
    (line,) = lines(new_event(data=data))

    assert line.data == data


def test_registered_public_types_are_checked_and_carried() -> None:
    (line,) = lines(new_event(type="integration.sync.required", data='{"system":"crm"}'))

    assert (line.type, line.data) == ("integration.sync.required", '{"system":"crm"}')


@pytest.mark.parametrize("count", [0, 6])
def test_a_request_holds_some_events_and_not_too_many(count: int) -> None:
    with pytest.raises(ValidationError):
        lines(*[new_event() for _ in range(count)])


@given(st.text(max_size=60))
def test_whatever_the_data_it_is_carried_or_refused(data: str) -> None:
    refused: str | None = None
    carried: str | None = None

    try:
        (line,) = lines(new_event(data=data))
        carried = line.data
    except ValidationError as error:
        refused = error.field

    assert (carried, refused) in ((data, None), (None, "events[0].data"))
