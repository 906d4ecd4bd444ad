from datetime import UTC, datetime

import orjson
import pytest
from cloudevents.core.formats.json import JSONFormat

from actors import cloudevents, events
from actors.events import CustomEvent, Erased, Priority, StoredEvent
from actors.runtime.message import GuildId, Position

NOON = datetime(2026, 1, 2, 12, 0, 0, 5_000, tzinfo=UTC)


def stored(**changed: object) -> StoredEvent:
    fields: dict[str, object] = {
        "event_id": "evt_1",
        "guild_id": GuildId("guild_1"),
        "source": "/ci/builds",
        "source_id": "build-17",
        "aggregate_id": "ext:/ci/builds#",
        "aggregate_version": 3,
        "priority": Priority.HIGH,
        "occurred_at": NOON,
        "correlation_id": "cor_1",
        "causation_id": None,
        "principal_id": "client_1",
        "position": Position(800, 4),
        "payload": CustomEvent(name="custom.build.failed", data='{"branch":"main"}'),
    }
    return StoredEvent(**{**fields, **changed})  # type: ignore[arg-type]


def test_the_official_library_reads_what_we_write() -> None:
    read = JSONFormat().read(None, cloudevents.structured(stored()))

    assert (read.get_id(), read.get_source()) == ("build-17", "/ci/builds")
    assert read.get_time() == NOON
    assert read.get_data() == {"branch": "main"}
    assert read.get_extension("severitynumber") == 17


def test_an_event_of_our_own_is_known_by_its_own_id() -> None:
    assert cloudevents.attributes(stored(source_id=None))["id"] == "evt_1"


def test_what_the_publisher_added_hides_none_of_ours() -> None:
    told = cloudevents.attributes(stored(attributes={"id": "forged", "region": "eu"}))

    assert (told["id"], told["region"]) == ("build-17", "eu")


def test_what_is_not_known_is_left_out() -> None:
    told = orjson.loads(cloudevents.structured(stored()))

    assert {"subject", "causationid", "recordedtime"}.isdisjoint(told)


@pytest.mark.parametrize("priority", list(Priority))
def test_a_priority_comes_back_from_its_number(priority: Priority) -> None:
    assert cloudevents.priority_of(cloudevents.SEVERITY[priority]) is priority


@pytest.mark.parametrize(("severity", "priority"), [(1, "low"), (12, "normal"), (24, "critical")])
def test_a_number_between_two_is_the_lower_one(severity: int, priority: str) -> None:
    assert cloudevents.priority_of(severity) == priority


def test_of_erased_data_the_envelope_is_told_and_that_it_was_erased() -> None:
    event = stored(payload=Erased(name="custom.build.failed"), sealed_for="digest")

    told = orjson.loads(cloudevents.structured(event))

    assert "data" not in told
    assert (told["type"], told["erased"], told["sealedfor"]) == (
        "custom.build.failed",
        True,
        "digest",
    )
    assert events.encode(event.payload) == "null"


def test_an_event_about_a_person_bears_the_digest_and_not_a_word_of_erasure() -> None:
    told = cloudevents.attributes(stored(sealed_for="digest"))

    assert told["sealedfor"] == "digest"
    assert "erased" not in told
