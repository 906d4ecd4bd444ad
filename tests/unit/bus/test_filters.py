"""What a filter wants of the log."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bus.filters import Filters
from actors.errors import ValidationError
from actors.events import IncidentCreated, Priority, StoredEvent
from actors.settings import BusSettings
from tests.fixtures.bus_builders import NOON, new_event, stored_event

filters = Filters(BusSettings())
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def wants(expression: str, event: StoredEvent) -> bool:
    return filters.compile({"expression": expression})(event)


def ordered(data: Any, **changes: Any) -> StoredEvent:
    return stored_event(new_event(data=orjson.dumps(data).decode(), **changes))


LAMPS = ordered(
    {"total": 3.5, "kind": "lamp", "note": None, "lines": [{"sku": "a", "n": 1}, {"sku": "b"}]},
    source="/shop",
    source_id="order-1",
    subject="customers/7",
    priority=Priority.HIGH,
    attributes={"region": "eu", "retries": 2, "gift": True},
)


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (None, True),
        ([], True),
        (["*"], True),
        (["custom.order.*"], True),
        (["sage.*", "custom.order.placed"], True),
        (["custom.order"], False),
        (["sage.*"], False),
    ],
)
def test_a_filter_without_an_expression_goes_by_type(types: Any, wanted: bool) -> None:
    assert filters.compile({"types": types})(LAMPS) is wanted


@pytest.mark.parametrize(
    "expression",
    [
        "type == 'custom.order.placed'",
        "type.startsWith('custom.') && source == '/shop' && id == 'order-1'",
        "subject == 'customers/7' && severitynumber >= 17 && severitytext == 'high'",
        "region == 'eu' && retries == 2 && gift",
        "causationid == null",
        "timestamp(time) < timestamp('2026-02-01T00:00:00Z')",
        "timestamp(time).getFullYear() == 2026",
        "authid == 'user_1' && position == '1-1-1' && correlationid != ''",
        "data.total > 3 && data.total < 4",
        "data.kind in ['lamp', 'chair']",
        "data.note == null && !has(data.discount)",
        "size(data.lines) == 2 && data.lines[0].n == 1",
        "data.lines.exists(line, line.sku == 'b')",
        "data.lines.all(line, size(line.sku) == 1)",
        "data.lines.exists_one(line, has(line.n))",
        "data.exists(name, name == 'kind')",
        "data['kind'] == 'lamp' && 'total' in data",
        "data.discount > 3 || data.kind == 'lamp'",
        "data.kind == 'map(x)' || data.kind == \"lamp\" // a comment: data.map(x, x)",
    ],
)
def test_an_expression_reads_attributes_and_data(expression: str) -> None:
    assert wants(expression, LAMPS)


def test_types_and_expression_both_count() -> None:
    both = filters.compile({"types": ["custom.order.*"], "expression": "data.total > 3"})

    assert both(LAMPS)
    assert not both(ordered({"total": 4}, type="custom.refund"))
    assert not both(ordered({"total": 3}))


def test_our_own_events_are_read_as_they_are_published() -> None:
    incident = IncidentCreated(
        incident_id="inc_1", title="Disk", description="", severity="high", labels={"team": "db"}
    )
    event = replace(LAMPS, payload=incident)

    assert wants("data.severity == 'high' && data.labels.team == 'db'", event)
    assert wants("type == 'sage.incident.created'", event)


@pytest.mark.parametrize(
    "expression",
    [
        "data.discount > 3",
        "data.kind > 3",
        "region == 'us' || unknown == 1",
        "data.total",
        "data.lines",
        "'yes'",
        "1 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "timestamp('yesterday') < timestamp(time)",
        "data.lines[9].n == 1",
        "int(data.kind) == 1",
        "data.lines.exists(line, line.n == 7)",
    ],
)
def test_what_fails_or_is_no_yes_does_not_want_the_event(expression: str) -> None:
    assert not wants(expression, LAMPS)


@pytest.mark.parametrize("data", ["{", "", "nonsense", "\ud800"])
def test_data_that_cannot_be_read_is_null(data: str) -> None:
    event = stored_event(new_event(data=data))

    assert wants("data == null", event)
    assert wants("data == null || data.total > 3", event)
    assert not wants("data.total > 3", event)


def test_data_that_is_sealed_is_null() -> None:
    assert wants("data == null && type == 'custom.order.placed'", replace(LAMPS, sealed_for="them"))


@settings(deadline=None)
@given(json)
def test_any_data_is_compared_by_what_it_says(data: Any) -> None:
    event = ordered({"is": data})

    assert wants("data.is == data.is", event)
    assert wants("has(data.is) && !has(data.other)", event)
    assert wants("data.is == null", event) is (data is None)


@settings(deadline=None)
@given(json, st.sampled_from(["data", "data.a > 1", "data.exists(x, x == 'a')", "data[0] == 1"]))
def test_no_data_makes_a_filter_raise(data: Any, expression: str) -> None:
    assert wants(expression, ordered(data)) in (True, False)


def test_one_filter_after_the_other_reads_its_own_event() -> None:
    cheap, dear = ordered({"total": 1}), ordered({"total": 9})
    above, below = (filters.compile({"expression": f"data.total {sign} 5"}) for sign in "><")

    found = [(above(one), below(one)) for one in (cheap, dear, cheap)]

    assert found == [(False, True), (True, False), (False, True)]


def test_attributes_of_the_publisher_hide_none_of_ours() -> None:
    event = ordered({}, attributes={"type": "custom.other", "data": "mine", "time": "never"})

    assert wants("type == 'custom.order.placed' && data != 'mine' && time != 'never'", event)
    assert wants("recordedtime == null", replace(event, recorded_at=None))
    assert wants("recordedtime != null", replace(event, recorded_at=NOON + timedelta(seconds=1)))


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"types": "custom.*"}, "filter.types", "are not texts"),
        ({"types": [1]}, "filter.types", "are not texts"),
        ({"types": [" "]}, "filter.types", "is blank"),
        ({"types": ["x" * 501]}, "filter.types", "is longer than 500 characters"),
        ({"types": ["\x00"]}, "filter.types", "holds a character that is none"),
        ({"types": ["a"] * 101}, "filter.types", "are more than 100"),
        ({"expression": 1}, "filter.expression", "is not a text"),
        ({"expression": True}, "filter.expression", "is not a text"),
        ({"expression": "\ud800 == 1"}, "filter.expression", "holds a character that is none"),
        ({"expression": "data.total >"}, "filter.expression", "is not CEL at line 1, column 13"),
        ({"expression": "true\n&& ()"}, "filter.expression", "is not CEL at line 2, column 5"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_reason(
    spec: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        filters.compile(spec)

    assert (refused.value.field, refused.value.reason) == (field, reason)
