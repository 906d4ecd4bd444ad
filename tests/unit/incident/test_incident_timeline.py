"""The timeline reads like sentences, also for events of other sages."""

import pytest

from actors.errors import ValidationError
from actors.events import (
    AlertsReceived,
    AlertsResolved,
    AlertSummary,
    DossierReady,
    IncidentAcknowledged,
    IncidentAssessing,
    IncidentAssigned,
    IncidentClosed,
    IncidentCommunicated,
    IncidentCreated,
    IncidentReopened,
    IncidentResolved,
    IncidentResponding,
    IncidentUpdated,
    KnowledgeCreated,
    Payload,
    ReviewDrafted,
    ReviewPublished,
    TaskCompleted,
    TaskDeleted,
)
from actors.incident.domain import naming, timeline
from actors.incident.domain.paging import after_cursor, after_fingerprint, cursor_behind, encode
from actors.incident.messages import TITLE_MAX, Alert, AlertStatus, IncidentId
from tests.fixtures.incident import GUILD, NOON, a_stored_event, an_incident, some_evidence

_ALERTS = tuple(
    AlertSummary(fingerprint=f"f{n}", name=f"A{n}", status="firing", summary="", labels={})
    for n in range(7)
)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (
            IncidentCreated(
                incident_id="i", title="Slow", description="", severity="high", labels={}
            ),
            "Incident opened with severity high: Slow",
        ),
        (
            AlertsReceived(incident_id="i", alerts=_ALERTS, alert_count=7),
            "7 alerts fire: A0, A1, A2, A3, A4 and 2 more",
        ),
        (
            AlertsResolved(incident_id="i", alerts=_ALERTS[:1], alert_count=1, firing_count=6),
            "1 alert ended: A0; 6 still fire",
        ),
        (IncidentAcknowledged(incident_id="i", acknowledged_by="u"), "Acknowledged by u"),
        (IncidentAssigned(incident_id="i", assignee="u"), "Assigned to u"),
        (IncidentAssessing(incident_id="i"), "Assessment began"),
        (
            IncidentResponding(incident_id="i", severity="low", impact="few"),
            "Response began; severity low, impact: few",
        ),
        (IncidentCommunicated(incident_id="i", message="We know."), "We know."),
        (IncidentUpdated(incident_id="i", fields=("title", "tags")), "Changed: title, tags"),
        (
            IncidentResolved(
                incident_id="i",
                title="Slow",
                resolution="restarted",
                root_cause="",
                resolved_by="u",
                severity="low",
                labels={},
            ),
            "Resolved by u: restarted",
        ),
        (IncidentReopened(incident_id="i", reason="no", reopen_count=1), "Reopened: no"),
        (IncidentClosed(incident_id="i", reason="reviewed"), "Closed: reviewed"),
        (
            DossierReady(incident_id="i", title="Slow", priority="low", runbook=some_evidence()),
            "Dossier: 0 similar, 0 runbooks, 0 open tasks; best runbook: Slow shop",
        ),
        (ReviewDrafted(incident_id="i", review_id="r"), "Review drafted"),
        (
            ReviewPublished(
                incident_id="i",
                review_id="r",
                title="Review",
                summary="",
                content="",
                author_id="u",
                severity="low",
                labels={},
            ),
            "Review published: Review",
        ),
        (
            TaskCompleted(task_id="t", name="Look", description="", status="done", priority="low"),
            "Task completed: Look",
        ),
        (
            KnowledgeCreated(
                entity_id="k", title="Slow", content="", summary="", status="", category_id=""
            ),
            "Knowledge created: Slow",
        ),
        (
            KnowledgeCreated(
                entity_id="k",
                title="Slow",
                content="",
                summary="",
                status="",
                category_id="",
                access_level="private",
            ),
            "Knowledge created",
        ),
        (TaskDeleted(task_id="t"), "Deleted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Payload) else "",
)
def test_an_event_reads_as_a_sentence(payload: Payload, text: str) -> None:
    (entry,) = timeline.entries([a_stored_event(payload)])

    assert (entry.text, entry.kind, entry.who) == (text, payload.type, "user_1")


def test_a_cursor_leads_back_to_its_place() -> None:
    incident = an_incident()

    after = after_cursor(cursor_behind(incident))

    assert after is not None
    assert (after.detected_at, after.incident_id) == (NOON, incident.incident_id)


@pytest.mark.parametrize("cursor", ["", "?", "bm8", encode([1]), encode(["x", "y"]), "é"])
def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ValidationError, match="cursor"):
        after_cursor(cursor)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(ValidationError, match="cursor"):
        after_fingerprint(cursor_behind(an_incident()))


def _alert(name: str, **annotations: str) -> Alert:
    return Alert(
        alert_id="alert_1",
        guild_id=GUILD,
        incident_id=IncidentId("inc_1"),
        fingerprint="f",
        name=name,
        status=AlertStatus.FIRING,
        labels={"job": "shop"},
        annotations=annotations,
        starts_at=NOON,
        ends_at=None,
        generator_url="",
        received_count=1,
        first_received_at=NOON,
        last_received_at=NOON,
        changed_at=NOON,
    )


def test_a_title_names_the_alerts_and_says_what_they_say() -> None:
    alerts = [_alert("DiskFull"), _alert("Slow"), _alert("Slow")]

    with_words = naming.title_of(alerts, {"summary": "3 %\n left"})
    without_words = naming.title_of(alerts, {})

    assert with_words == "DiskFull and 1 more: 3 % left"
    assert without_words == "DiskFull and 1 more: on shop"


def test_a_long_title_is_cut() -> None:
    title = naming.title_of([_alert("DiskFull", summary="x" * 999)], {})

    assert len(title) == TITLE_MAX
    assert title.endswith("…")
