"""An event comes out of another as it went in."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.carried import carried, carry
from actors.events import CustomEvent, IncidentCreated, Payload, Priority, StoredEvent
from actors.runtime.message import GuildId, Position

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
moments = st.datetimes(
    min_value=datetime(2, 1, 1),
    max_value=datetime(9998, 1, 1),
    timezones=st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=30))),
)
data = st.sampled_from(
    [
        '{"total": 12345678901234567890123.50, "again":1e400}',
        '{"data":{"event_id":"evt_9"},"event_id":"x","position":"1-1-1"}',
        '"plain ,\\"event_id\\":\\"evt\\""',
        '[1.0,{"a":null}]',
        "null",
        '{"\\u00e9":"\\ud83d\\ude00"}',
    ]
)
payloads: st.SearchStrategy[Payload] = st.one_of(
    st.builds(CustomEvent, name=st.just("custom.order.placed"), data=data),
    st.builds(
        IncidentCreated,
        incident_id=words,
        title=words,
        description=words,
        severity=words,
        labels=st.dictionaries(words, words, max_size=3),
        affected_systems=st.tuples(words, words),
    ),
)
stored = st.builds(
    StoredEvent,
    event_id=st.from_regex(r"evt_[0-9a-z]{5}", fullmatch=True),
    guild_id=st.builds(GuildId, words),
    source=words,
    aggregate_id=words,
    aggregate_version=st.integers(1, 2**31),
    priority=st.sampled_from(Priority),
    occurred_at=moments,
    correlation_id=words,
    causation_id=st.none() | words,
    principal_id=words,
    position=st.builds(
        Position, st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1), st.integers(1, 9)
    ),
    payload=payloads,
    recorded_at=st.none() | moments,
    source_id=st.none() | words,
    subject=st.none() | words,
    schema_version=st.integers(1, 9),
    attributes=st.dictionaries(
        st.sampled_from(["data", "type", "position", "a", "id"]),
        words | st.integers(-(2**31), 2**31) | st.booleans(),
    ),
    sealed_for=st.none() | words,
)


@settings(deadline=None)
@given(stored)
def test_nothing_is_lost_on_the_way(event: StoredEvent) -> None:
    out = carried(carry(event))

    assert out == event
    assert {name: type(value) for name, value in out.attributes.items()} == {
        name: type(value) for name, value in event.attributes.items()
    }


@settings(deadline=None)
@given(stored)
def test_others_can_read_it(event: StoredEvent) -> None:
    text = carry(event)

    assert text.endswith(f'"position":"{event.position}"}}')
    if "e400" not in text:
        assert orjson.loads(text)["event_id"] == event.event_id


def changed(**members: Any) -> str:
    whole = orjson.loads(carry(EVENT))
    behind = {**{name: whole[name] for name in whole if name != "data"}, **members}
    return f'{{"data":{{}},{orjson.dumps(behind).decode()[1:]}'


EVENT = StoredEvent(
    event_id="evt_1",
    guild_id=GuildId("guild_1"),
    source="/s",
    aggregate_id="a",
    aggregate_version=1,
    priority=Priority.NORMAL,
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    correlation_id="c",
    causation_id=None,
    principal_id="p",
    position=Position(1, 1),
    payload=CustomEvent(name="custom.a", data="{}"),
)


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert carried(changed(colour="red")) == EVENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"data":{},"event_id":"evt_1"}',
        '{"data":{},"event_id":"evt_1",',
        changed(type="sage.unknown"),
        changed(type="sage.incident.created"),
        changed(position="soon"),
        changed(position=7),
        changed(occurred_at="never"),
        changed(priority="urgent"),
    ],
)
def test_what_was_not_carried_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each part says it in its own words
        carried(text)
