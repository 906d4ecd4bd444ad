"""What crosses a process arrives as it was, and plain pickle can read it."""

import copyreg
import enum
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import errors
from actors.bus.messages import NewEvent, PublishEvents
from actors.errors import Overloaded
from actors.events import CustomEvent, DeliverEvents, Priority, StoredEvent
from actors.runtime.message import Caller, Context, GuildId, Outcome, Permission, Position
from actors.runtime.pickling import dumps, restore

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
CONTEXT = Context(
    caller=Caller(
        guild_id=GuildId("guild_1"),
        principal_id="usr_1",
        permissions=frozenset({Permission.READ, Permission.ADMIN}),
    ),
    correlation_id="cor_1",
)
EVENT = StoredEvent(
    event_id="evt_1",
    guild_id=GuildId("guild_1"),
    source="/shop",
    aggregate_id="ext:/shop#1",
    aggregate_version=1,
    priority=Priority.HIGH,
    occurred_at=NOON,
    correlation_id="cor_1",
    causation_id=None,
    principal_id="usr_1",
    position=Position(7, 9),
    payload=CustomEvent(name="custom.sold", data='{"a": 1}'),
    recorded_at=NOON + timedelta(microseconds=1),
    attributes={"tier": 1},
)


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing in it."""


@dataclass(frozen=True, slots=True)
class OneField:
    value: tuple[int, ...]


@dataclass(frozen=True)
class WithDict:
    value: int


@dataclass(slots=True)
class Mutable:
    value: int


@dataclass(frozen=True, slots=True)
class OwnWay:
    value: int

    def __reduce__(self) -> tuple[Callable[[int], "OwnWay"], tuple[int]]:
        return OwnWay, (self.value + 1,)


class Registered:
    def __init__(self, value: int) -> None:
        self.value = value


class Colour(enum.Flag):
    RED = 1
    BLUE = 2


copyreg.pickle(Registered, lambda one: (Registered, (one.value + 1,)))


def across(value: Any) -> Any:
    return pickle.loads(dumps(value))  # noqa: S301  # our own bytes


@pytest.mark.parametrize(
    "value",
    [
        DeliverEvents(context=CONTEXT, command_id="cmd_1", subscription="s", events=(EVENT, EVENT)),
        PublishEvents(
            context=CONTEXT,
            command_id="cmd_1",
            events=(NewEvent(source="/a", source_id="1", type="custom.a", data="1"),),
        ),
        Outcome(reply=(EVENT,), position=Position(1, 2, 3)),
        Empty(),
        OneField((1, 2)),
        WithDict(1),
        Mutable(1),
        Colour.RED | Colour.BLUE,
        [Priority, StoredEvent, datetime],
        datetime(2026, 11, 26, 12),
        datetime(2026, 11, 26, 12, tzinfo=timezone(timedelta(hours=9))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_arrives_as_it_was(value: Any) -> None:
    assert across(value) == value


def test_an_enum_arrives_as_the_same_member_and_utc_as_the_same_zone() -> None:
    arrived = across(EVENT)

    assert arrived.priority is Priority.HIGH
    assert arrived.occurred_at.tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_keeps_its_microseconds(moment: datetime) -> None:
    assert across(replace(EVENT, occurred_at=moment)).occurred_at == moment


def test_who_says_how_to_pickle_is_heard() -> None:
    assert across(OwnWay(1)).value == 2
    assert across(Registered(1)).value == 2


def test_arrays_and_errors_go_the_usual_way() -> None:
    failed: Outcome[None] = Outcome(error=Overloaded(2.0, "the pool"))

    refused = across(failed)
    vectors = across(OneField((np.arange(3),)))  # type: ignore[arg-type]  # as replies carry them

    assert isinstance(refused.error, errors.Overloaded)
    assert refused.error.retry_after_s == 2.0
    assert vectors.value[0].tolist() == [0, 1, 2]


def test_what_cannot_travel_is_refused() -> None:
    with pytest.raises(AttributeError, match="local"):
        dumps(lambda: None)


def test_a_class_of_a_function_is_refused_as_pickle_would() -> None:
    @dataclass(frozen=True, slots=True)
    class Local:
        value: int

    with pytest.raises(AttributeError, match="local"):
        dumps(Local(1))


def test_fields_that_this_version_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        restore("actors.runtime.message:Position", 1, 2, 3, 4)
