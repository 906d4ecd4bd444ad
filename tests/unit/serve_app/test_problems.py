"""From expected failures to HTTP."""

import orjson
import pytest

from actors import errors
from actors.errors import ElderGuildError
from serve_app.problems import STATUS, FieldError, Problem, problem_of, render, render_oauth


def children(kind: type[ElderGuildError]) -> set[type[ElderGuildError]]:
    found = {child for child in kind.__subclasses__() if child.__module__ == errors.__name__}
    return found.union(*(children(child) for child in found))


def test_every_expected_failure_has_its_status() -> None:
    assert children(ElderGuildError) | {ElderGuildError} == set(STATUS)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.ValidationError("name", "is blank"), 422, "validation_error"),
        (errors.NotAuthenticated(), 401, "not_authenticated"),
        (errors.NotAuthorized("write"), 403, "not_authorized"),
        (errors.NotFound("task", "task_1"), 404, "not_found"),
        (errors.InvalidTransition("task", "completed", "pending"), 409, "invalid_transition"),
        (errors.VersionConflict("task", "task_1"), 409, "version_conflict"),
        (errors.Overloaded(3.2), 503, "overloaded"),
        (errors.DependencyUnavailable("postgres"), 503, "dependency_unavailable"),
        (errors.HandlerLost("task"), 503, "dependency_unavailable"),
        (errors.DeadlineExceeded("the request"), 504, "deadline_exceeded"),
        (errors.StaleIndex("9-1", "8-1"), 504, "stale_index"),
        (errors.PositionOfAnotherEpoch(1, 2), 410, "position_of_another_epoch"),
        (errors.LateAck("evt_1"), 409, "late_ack"),
        (errors.Gone("the receiver"), 410, "gone"),
        (errors.Cycle(("task_1", "task_2")), 409, "cycle"),
        (ElderGuildError("what is inside"), 500, "internal_error"),
    ],
)
def test_the_table(error: ElderGuildError, status: int, code: str) -> None:
    problem = problem_of(error)

    assert (problem.status, problem.code) == (status, code)
    assert ("Retry-After" in problem.headers) is (
        status in (503, 504) or code == "version_conflict"
    )


def test_a_version_conflict_is_412_where_if_match_was_sent() -> None:
    error = errors.VersionConflict("task", "task_1")

    assert problem_of(error, conditional=True).status == 412


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    assert problem_of(errors.Overloaded(3.2)).headers["Retry-After"] == "4"
    assert problem_of(errors.Overloaded(0.01)).headers["Retry-After"] == "1"


def test_neither_a_key_nor_the_inside_of_a_failure_is_told() -> None:
    for error in (errors.NotFound("task", "somebody's key"), ElderGuildError("what is inside")):
        body = bytes(render(problem_of(error), "req_1").body)

        assert b"somebody" not in body
        assert b"inside" not in body


def test_the_document_has_all_members_of_rfc_9457() -> None:
    problem = Problem(422, "not valid", errors=[FieldError("body/name", "is blank")])

    response = render(problem, "req_1")

    assert response.media_type == "application/problem+json"
    assert orjson.loads(response.body) == {
        "type": "urn:elders-guild:problem:validation_error",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "not valid",
        "instance": "urn:elders-guild:request:req_1",
        "errors": [{"pointer": "body/name", "detail": "is blank"}],
        "request_id": "req_1",
    }


def test_a_late_acknowledgement_names_the_event_and_never_what_was_sent() -> None:
    event_id = f"evt_{'0' * 26}"

    named = orjson.loads(render(problem_of(errors.LateAck(event_id)), "req_1").body)
    unknown = orjson.loads(render(problem_of(errors.LateAck("7-1.1")), "req_1").body)

    assert named["event_id"] == event_id
    assert "event_id" not in unknown


def test_a_closed_ring_is_listed() -> None:
    body = orjson.loads(render(problem_of(errors.Cycle(("task_1", "task_2"))), "req_1").body)

    assert body["cycle"] == ["task_1", "task_2"]


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (Problem(400, "", code="unsupported_grant_type"), 400, "unsupported_grant_type"),
        (Problem(401, ""), 401, "invalid_client"),
        (Problem(422, ""), 400, "invalid_request"),
        (Problem(413, ""), 413, "invalid_request"),
        (Problem(503, ""), 503, "temporarily_unavailable"),
        (Problem(500, ""), 500, "server_error"),
    ],
)
def test_oauth_answers_in_its_own_form(problem: Problem, status: int, code: str) -> None:
    response = render_oauth(problem)

    assert response.status_code == status
    assert orjson.loads(response.body)["error"] == code
    assert response.headers["cache-control"] == "no-store"
