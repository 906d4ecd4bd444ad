"""A thousand cases that Schemathesis makes from the OpenAPI document; `make fuzz` makes more."""

from collections.abc import Iterator

import pytest

from serve_app.access import ACCESS
from tests.fixtures.asgi import Answered, unheard
from tests.fixtures.gateway import whole_app
from tests.security.fuzzing import WAYS, Fuzz, Tally, fault

EACH = 7


@pytest.fixture(scope="module")
def fuzz() -> Iterator[Fuzz]:
    with unheard():
        fuzz = Fuzz(whole_app())
        yield fuzz
        fuzz.close()


def test_all_routes_are_tried_but_the_endless_and_the_document(fuzz: Fuzz) -> None:
    tried = {chunk.route for chunk in fuzz.chunks(1)}

    assert ACCESS.keys() - tried == {"GET /api/v1/events/stream", "GET /openapi.json"}


def test_a_thousand_cases_make_nothing_fail(fuzz: Fuzz) -> None:
    whole = Tally()

    for chunk in fuzz.chunks(1):
        tally = fuzz.run(chunk, EACH)
        whole.answers.update(tally.answers)
        whole.failures += tally.failures

    assert not whole.failures, "\n".join(whole.failures[:20])
    assert whole.cases >= 1_000
    assert whole.answers[422] + whole.answers[400] > 100  # they got past the door


def test_a_chunk_makes_the_same_cases_again(fuzz: Fuzz) -> None:
    chunk = next(one for one in fuzz.chunks(1) if one.route == "POST /api/v1/tasks")

    assert fuzz.run(chunk, 20).cases == fuzz.run(chunk, 20).cases
    assert len({one.way for one in fuzz.chunks(1)}) == len(WAYS)


@pytest.mark.parametrize(
    ("status", "headers", "body", "wrong"),
    [
        (200, (), b"{}", ""),
        (500, (), b"{}", "500"),
        (504, (), b"{}", "504"),
        (503, (), b'{"type": "urn:elders-guild:problem:internal_error"}', "503 that is not"),
        (503, (), b'{"type": "urn:elders-guild:problem:overloaded"}', "503 without"),
        (503, (), b'{"ready": false, "parts": {}}', ""),
        (404, ((b"content-type", b"text/html"),), b"", "404 as text/html"),
    ],
)
def test_a_fault_is_seen(
    status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes, wrong: str
) -> None:
    assert fault(Answered(status, headers, body)).startswith(wrong)
    assert bool(fault(Answered(status, headers, body))) is bool(wrong)
