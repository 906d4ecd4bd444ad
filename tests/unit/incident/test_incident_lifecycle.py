"""The response steps: who may go where, and what a repeat does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import ElderGuildError, InvalidTransition, NotAuthorized, ValidationError
from actors.events import (
    IncidentAcknowledged,
    IncidentClosed,
    IncidentReopened,
    IncidentResolved,
    IncidentUpdated,
    Priority,
)
from actors.incident.domain import editing, lifecycle
from actors.incident.domain.editing import Decided
from actors.incident.messages import (
    AcknowledgeIncident,
    AssessIncident,
    AssignIncident,
    CloseIncident,
    Communicate,
    CreateIncident,
    Incident,
    IncidentId,
    ReopenIncident,
    ResolveIncident,
    RespondIncident,
    Severity,
    Status,
    UpdateIncident,
)
from tests.fixtures.incident import NOON, USER, an_incident, command, command_id, context

Step = Callable[[Incident], Decided]

STEPS: dict[str, Step] = {
    "acknowledge": lambda i: lifecycle.acknowledge(i, command(AcknowledgeIncident, i), NOON),
    "assign": lambda i: lifecycle.assign(i, command(AssignIncident, i), NOON),
    "assess": lambda i: lifecycle.assess(i, command(AssessIncident, i), NOON),
    "respond": lambda i: lifecycle.respond(i, command(RespondIncident, i, impact="many"), NOON),
    "communicate": lambda i: lifecycle.communicate(i, command(Communicate, i, message="m"), NOON),
    "resolve": lambda i: lifecycle.resolve(i, command(ResolveIncident, i, resolution="r"), NOON),
    "reopen": lambda i: lifecycle.reopen(i, command(ReopenIncident, i, reason="no"), NOON),
    "waive": lambda i: lifecycle.waive_review(i, command(CloseIncident, i, reason="no"), NOON),
    "update": lambda i: editing.update(i, command(UpdateIncident, i, title="Other"), NOON),
}
ALLOWED = {
    Status.OPEN: {Status.ACKNOWLEDGED, Status.RESOLVED},
    Status.ACKNOWLEDGED: {Status.ASSESSING, Status.RESOLVED},
    Status.ASSESSING: {Status.RESPONDING, Status.RESOLVED},
    Status.RESPONDING: {Status.RESOLVED},
    Status.RESOLVED: {Status.CLOSED, Status.OPEN},
    Status.CLOSED: {Status.OPEN},
    Status.MERGED: set(),
}


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_no_sequence_of_commands_leaves_the_allowed_ways(names: list[str]) -> None:
    incident = an_incident()

    for name in names:
        before = incident
        try:
            incident, events = STEPS[name](before)
        except ElderGuildError:
            continue

        assert incident.status == before.status or incident.status in ALLOWED[before.status]
        assert incident.version == before.version + len(events)
        assert events or incident == before
        assert name == "communicate" or STEPS[name](incident) == (incident, ())


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_merged_incident_takes_no_command(name: str) -> None:
    merged = an_incident(Status.MERGED)

    with pytest.raises(InvalidTransition):
        STEPS[name](merged)


def test_acknowledging_says_who_and_when() -> None:
    incident = an_incident()
    acknowledge = command(AcknowledgeIncident, incident, at=context(principal_id="user_7"))

    after, events = lifecycle.acknowledge(incident, acknowledge, NOON)

    assert (after.acknowledged_at, after.acknowledged_by) == (NOON, "user_7")
    assert events == (
        IncidentAcknowledged(incident_id=incident.incident_id, acknowledged_by="user_7"),
    )


def test_nobody_assesses_an_incident_without_an_assignee() -> None:
    incident = an_incident(Status.ACKNOWLEDGED)

    with pytest.raises(ValidationError, match="assignee"):
        lifecycle.assess(incident, command(AssessIncident, incident), NOON)


def test_an_open_incident_is_acknowledged_before_it_is_assessed() -> None:
    incident = an_incident(Status.OPEN, assignee="user_1")

    with pytest.raises(InvalidTransition):
        lifecycle.assess(incident, command(AssessIncident, incident), NOON)


def test_responding_needs_a_stated_impact() -> None:
    incident = an_incident(Status.ASSESSING, assignee="user_1")

    with pytest.raises(ValidationError, match="impact"):
        lifecycle.respond(incident, command(RespondIncident, incident), NOON)


def test_severity_can_be_stated_anew_while_responding() -> None:
    incident = an_incident(Status.RESPONDING, impact="few")
    worse = command(RespondIncident, incident, severity=Severity.CRITICAL)

    after, events = lifecycle.respond(incident, worse, NOON)

    assert (after.severity, after.priority) == (Severity.CRITICAL, Priority.CRITICAL)
    assert events == (IncidentUpdated(incident_id=incident.incident_id, fields=("severity",)),)


def test_steps_that_were_jumped_over_are_marked_implied() -> None:
    earlier = NOON - timedelta(minutes=5)
    incident = an_incident(Status.ACKNOWLEDGED, acknowledged_at=earlier, acknowledged_by="user_2")

    after, _ = STEPS["resolve"](incident)

    assert after.implied == (Status.ASSESSING, Status.RESPONDING)
    assert (after.acknowledged_at, after.assessing_at, after.responding_at) == (earlier, NOON, NOON)


def test_resolving_needs_words() -> None:
    incident = an_incident()

    with pytest.raises(ValidationError, match="resolution"):
        lifecycle.resolve(incident, command(ResolveIncident, incident, resolution="  "), NOON)


def test_resolving_a_resolved_incident_emits_nothing() -> None:
    incident = an_incident(Status.RESOLVED, resolved_at=NOON)

    same, events = STEPS["resolve"](incident)

    assert (same, events) == (incident, ())


def test_a_source_resolves_without_words() -> None:
    after, events = lifecycle.resolve_by_source(an_incident(), NOON)

    assert (after.status, after.resolved_by) == (Status.RESOLVED, lifecycle.BY_SOURCE)
    assert isinstance(events[0], IncidentResolved)
    assert events[0].resolved_by == lifecycle.BY_SOURCE


def test_a_reopened_incident_takes_its_steps_anew_and_keeps_what_was_found_out() -> None:
    resolved, _ = STEPS["resolve"](an_incident(root_cause="a full disk"))

    after, events = STEPS["reopen"](resolved)

    assert (after.status, after.reopen_count, after.root_cause) == (Status.OPEN, 1, "a full disk")
    assert (after.acknowledged_at, after.resolved_at, after.implied) == (None, None, ())
    assert isinstance(events[0], IncidentReopened)


def test_an_elder_waives_a_review_with_a_reason() -> None:
    resolved = an_incident(Status.RESOLVED, resolved_at=NOON)

    after, events = STEPS["waive"](resolved)

    assert (after.status, after.closed_at, after.waived_reason) == (Status.CLOSED, NOON, "no")
    assert events == (IncidentClosed(incident_id=resolved.incident_id, reason="no"),)


def test_who_is_no_elder_cannot_waive_a_review() -> None:
    resolved = an_incident(Status.RESOLVED, resolved_at=NOON)
    waive = command(CloseIncident, resolved, at=context(permissions=USER), reason="busy")

    with pytest.raises(NotAuthorized):
        lifecycle.waive_review(resolved, waive, NOON)


def test_an_open_incident_cannot_be_closed() -> None:
    with pytest.raises(InvalidTransition):
        STEPS["waive"](an_incident())


def test_assigning_goes_to_the_caller_unless_it_names_somebody() -> None:
    incident = an_incident()
    other = command(AssignIncident, incident, assignee="user_9")

    mine, _ = STEPS["assign"](incident)
    theirs, _ = lifecycle.assign(incident, other, NOON)

    assert (mine.assignee, theirs.assignee) == ("user_1", "user_9")


def test_an_update_names_only_what_is_different() -> None:
    incident = an_incident(description="old")
    change = command(UpdateIncident, incident, title=incident.title, description="new")

    after, events = editing.update(incident, change, NOON)

    assert after.description == "new"
    assert events == (IncidentUpdated(incident_id=incident.incident_id, fields=("description",)),)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("title", {"title": " "}),
        ("title", {"title": "x" * 201}),
        ("tags", {"title": "x", "tags": tuple(map(str, range(11)))}),
    ],
)
def test_a_new_incident_is_refused_with_the_field_that_is_wrong(
    field: str, fields: dict[str, Any]
) -> None:
    create = CreateIncident(context=context(), command_id=command_id(), **fields)

    with pytest.raises(ValidationError) as refused:
        editing.create(create, IncidentId("inc_1"), NOON)

    assert refused.value.field == field


@pytest.mark.parametrize("status", [Status.CLOSED, Status.RESOLVED])
def test_what_is_over_is_not_acknowledged(status: Status) -> None:
    with pytest.raises(InvalidTransition):
        STEPS["acknowledge"](an_incident(status, resolved_at=NOON))


def test_a_closed_incident_is_given_to_nobody() -> None:
    with pytest.raises(InvalidTransition):
        STEPS["assign"](an_incident(Status.CLOSED, resolved_at=NOON))


def test_a_step_that_was_taken_is_not_taken_again() -> None:
    responding = an_incident(Status.RESPONDING, assignee="user_1", impact="many")

    for name in ("acknowledge", "assign", "assess", "respond"):
        assert STEPS[name](responding) == (responding, ())
