"""The line of a request: how bad, whose, about what."""

import logging

import pytest

from serve_app import edge, trace
from serve_app.trace import Trace

INCIDENT = "inc_01k0000000000000000000000a"
REPLAY = "rep_01k0000000000000000000000b"


@pytest.mark.parametrize(
    ("path", "status", "level"),
    [
        ("/api/v1/incidents", 200, logging.INFO),
        ("/api/v1/incidents", 404, logging.INFO),
        ("/metrics", 200, logging.DEBUG),
        ("/readyz", 503, logging.WARNING),
        ("/api/v1/incidents", 429, logging.WARNING),
        ("/api/v1/incidents", 504, logging.WARNING),
        ("/api/v1/incidents", 500, logging.ERROR),
        ("/healthz", 500, logging.ERROR),
        ("/api/v1/incidents", 0, logging.INFO),
    ],
)
def test_how_bad_a_request_was(path: str, status: int, level: int) -> None:
    assert edge._level(path, status) == level


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"incident_id": INCIDENT}, INCIDENT),
        ({"name": "orders", "replay_id": REPLAY}, REPLAY),
        ({"name": "orders"}, ""),
        ({"incident_id": "a secret\nin the path"}, ""),
        ({"incident_id": "correct-horse-battery-staple"}, ""),
        ({}, ""),
    ],
)
def test_only_what_can_be_an_id_of_ours_is_taken_from_the_path(
    parts: dict[str, str], named: str
) -> None:
    of = Trace("req_1", "cor_1")

    of.name_entity(parts)

    assert of.fields()["entity_id"] == named


def test_a_request_is_named_from_its_first_line_on() -> None:
    of = trace.begin({"headers": [(b"x-request-id", b"mine"), (b"x-correlation-id", b"chain")]})

    assert (of.fields()["request_id"], of.fields()["correlation_id"]) == ("mine", "chain")
