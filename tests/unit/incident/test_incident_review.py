"""The review: filled from the timeline, written by people, published once."""

from datetime import timedelta
from typing import Any

import pytest

from actors.errors import InvalidTransition, ValidationError
from actors.events import (
    IncidentClosed,
    ReviewAction,
    ReviewDrafted,
    ReviewPublished,
    RunbookStep,
)
from actors.incident.domain import dossier, lifecycle, review, timeline
from actors.incident.domain.dossier import Findings
from actors.incident.messages import (
    EditReview,
    Incident,
    IncidentId,
    PublishReview,
    ReopenIncident,
    ResolveIncident,
    Review,
    ReviewStatus,
    Status,
)
from tests.fixtures.incident import NOON, a_stored_event, an_incident, command, some_evidence

LATER = NOON + timedelta(minutes=30)


def a_resolved_incident(**fields: Any) -> Incident:
    incident = an_incident(alert_names=("ShopSlow",), labels={"service": "shop"}, **fields)
    resolve = command(
        ResolveIncident,
        incident,
        resolution="The queue was restarted.",
        root_cause="The queue was full.",
        resolution_steps=("Stop the queue", "Start the queue"),
        prevention="- Watch the queue\n- Bound the queue",
    )
    return lifecycle.resolve(incident, resolve, LATER)[0]


def a_draft(incident: Incident) -> Review:
    return review.draft(incident, (), None, by="user_1", now=LATER)[0]


def test_a_draft_says_what_the_incident_and_its_timeline_know() -> None:
    incident = a_resolved_incident()
    happened = timeline.entries([a_stored_event(IncidentClosed(incident_id="inc_1", reason="x"))])

    draft, events = review.draft(incident, happened, None, by="user_1", now=LATER)

    assert draft.status is ReviewStatus.DRAFT
    assert (draft.version, draft.timeline, draft.root_cause) == (1, happened, incident.root_cause)
    assert "30 minutes" in draft.summary
    assert draft.resolution.endswith("- Stop the queue\n- Start the queue")
    assert [action.title for action in draft.actions] == ["Watch the queue", "Bound the queue"]
    assert events == (ReviewDrafted(incident_id=incident.incident_id, review_id=draft.review_id),)


def test_one_end_is_drafted_once() -> None:
    incident = a_resolved_incident()
    draft = a_draft(incident)

    again, events = review.draft(incident, (), draft, by="user_1", now=LATER)

    assert (again, events) == (draft, ())


def test_an_open_incident_has_nothing_to_review() -> None:
    with pytest.raises(InvalidTransition):
        review.draft(an_incident(), (), None, by="user_1", now=NOON)


def test_the_next_end_is_drafted_anew_around_what_people_wrote() -> None:
    incident = a_resolved_incident()
    edit = command(EditReview, incident, impact="Nobody could buy.")
    edited, _ = review.edit(a_draft(incident), edit, LATER)
    reopen = command(ReopenIncident, incident, reason="still slow")
    reopened, _ = lifecycle.reopen(incident, reopen, LATER)
    resolve = command(ResolveIncident, incident, resolution="The queue was replaced.")
    ended, _ = lifecycle.resolve(reopened, resolve, LATER + timedelta(minutes=5))

    second, events = review.draft(ended, (), edited, by="user_1", now=LATER + timedelta(minutes=6))

    assert (second.review_id, second.impact) == (edited.review_id, "Nobody could buy.")
    assert second.resolution.startswith("The queue was replaced.")
    assert "reopened 1 times" in second.summary
    assert len(events) == 1


def test_an_edit_that_changes_nothing_emits_nothing() -> None:
    incident = a_resolved_incident()
    draft = a_draft(incident)

    same, events = review.edit(draft, command(EditReview, incident, impact=draft.impact), LATER)

    assert (same, events) == (draft, ())


def test_an_action_needs_words() -> None:
    incident = a_resolved_incident()
    edit = command(EditReview, incident, actions=(ReviewAction(title=" "),))

    with pytest.raises(ValidationError, match="actions"):
        review.edit(a_draft(incident), edit, LATER)


def test_publishing_makes_the_review_final_and_closes_the_incident() -> None:
    incident = a_resolved_incident()

    after = review.publish(incident, a_draft(incident), command(PublishReview, incident), LATER)

    (published,) = after.review_events
    assert isinstance(published, ReviewPublished)
    assert (after.review.status, after.incident.status) == (ReviewStatus.FINAL, Status.CLOSED)
    assert (published.author_id, published.alert_names) == ("user_1", ("ShopSlow",))
    assert published.labels == {"service": "shop"}
    assert after.incident_events == (
        IncidentClosed(incident_id=incident.incident_id, reason="reviewed"),
    )


def test_the_published_text_can_be_found_by_alert_label_cause_and_action() -> None:
    incident = a_resolved_incident()
    action = ReviewAction(title="Grow the queue", owner="user_2", due_at=NOON)
    edit = command(EditReview, incident, actions=(action,), lessons="Queues fill up.")
    edited, _ = review.edit(a_draft(incident), edit, LATER)

    after = review.publish(incident, edited, command(PublishReview, incident), LATER)

    (published,) = after.review_events
    assert isinstance(published, ReviewPublished)
    for words in (
        "Alerts: ShopSlow",
        "`service=shop`",
        "## Root cause\n\nThe queue was full.",
        "- Grow the queue (owner user_2, due 2030-05-17)",
        "## Lessons\n\nQueues fill up.",
    ):
        assert words in published.content


def test_publishing_twice_changes_nothing() -> None:
    incident = a_resolved_incident()
    once = review.publish(incident, a_draft(incident), command(PublishReview, incident), LATER)

    twice = review.publish(once.incident, once.review, command(PublishReview, incident), LATER)

    assert (twice.review, twice.incident) == (once.review, once.incident)
    assert (twice.review_events, twice.incident_events) == ((), ())


def test_a_final_review_closes_an_incident_that_was_reopened_and_resolved_again() -> None:
    incident = a_resolved_incident()
    once = review.publish(incident, a_draft(incident), command(PublishReview, incident), LATER)

    again = review.publish(incident, once.review, command(PublishReview, incident), LATER)

    assert again.review_events == ()
    assert again.incident.status is Status.CLOSED


def test_an_incident_that_is_not_over_is_not_closed_by_its_review() -> None:
    incident = a_resolved_incident()
    reopen = command(ReopenIncident, incident, reason="still slow")
    reopened, _ = lifecycle.reopen(incident, reopen, LATER)

    with pytest.raises(InvalidTransition):
        review.publish(reopened, a_draft(incident), command(PublishReview, incident), LATER)


def test_a_final_review_is_neither_edited_nor_drafted_again() -> None:
    incident = a_resolved_incident()
    published = review.publish(incident, a_draft(incident), command(PublishReview, incident), LATER)

    again, events = review.draft(incident, (), published.review, by="user_1", now=LATER)

    assert (again, events) == (published.review, ())
    with pytest.raises(InvalidTransition):
        review.edit(published.review, command(EditReview, incident, summary="x"), LATER)


def test_the_summary_says_what_the_incident_is_and_what_it_repeats() -> None:
    earlier = IncidentId("inc_0")
    incident = a_resolved_incident(recurrence_of=earlier, description="Pages take 9 s.")

    draft = a_draft(incident)

    assert f"It is a recurrence of {earlier}. Pages take 9 s." in draft.summary


@pytest.mark.parametrize("title", ["  ", "x" * 201])
def test_a_review_keeps_a_readable_title(title: str) -> None:
    incident = a_resolved_incident()

    with pytest.raises(ValidationError, match="title"):
        review.edit(a_draft(incident), command(EditReview, incident, title=title), LATER)


def test_a_review_of_little_says_that_little_is_known() -> None:
    ended, _ = lifecycle.resolve_by_source(an_incident(affected_systems=("shop",)), LATER)

    published = review.publish(ended, a_draft(ended), command(PublishReview, ended), LATER)

    (event,) = published.review_events
    assert isinstance(event, ReviewPublished)
    assert "## Root cause\n\nNot known." in event.content
    assert "Every alert was resolved by its source." in event.content
    assert "- Affected systems: shop" in event.content


def test_a_dossier_that_finds_nothing_new_is_not_announced_again() -> None:
    incident = an_incident()
    findings = Findings(runbook=some_evidence(), steps=(RunbookStep(title="Look"),) * 3)
    first, _ = dossier.compiled(incident, findings, None, max_steps=2, now=NOON)

    again, events = dossier.compiled(incident, findings, first, max_steps=2, now=LATER)

    assert len(first.steps) == 2
    assert (again, events) == (first, ())
