"""What the other sages' events mean for search."""

import pytest

from actors import events
from actors.events import AlertSummary, Payload
from actors.rag.domain import Indexed
from actors.rag.projection import project
from tests.fixtures.rag_builders import event, incident_created, review, task_created


def apply(*payloads: Payload, source_id: str = "inc_1") -> Indexed | None:
    source: Indexed | None = None
    for version, payload in enumerate(payloads, start=1):
        source = project(source, event(payload, source_id, version), 10_000) or source
    return source


def resolved() -> events.IncidentResolved:
    return events.IncidentResolved(
        incident_id="inc_1",
        title="The store's disk is nearly full",
        resolution="Rotation switched on.",
        root_cause="Rotation was off.",
        resolved_by="usr_1",
        severity="high",
        labels={},
    )


def test_an_incident_is_found_by_its_alerts() -> None:
    source = apply(incident_created())

    assert source is not None
    assert (source.type, source.status, source.names) == ("incident", "open", ("DiskFull",))
    assert "DiskFull: disk" in source.body


def test_a_resolved_incident_stays_with_its_resolution() -> None:
    source = apply(incident_created(), resolved())

    assert source is not None
    assert (source.status, source.version, source.removed) == ("resolved", 2, False)
    assert "Resolution: Rotation switched on." in source.body
    assert "Root cause: Rotation was off." in source.body
    assert source.names == ("DiskFull",)


def test_a_new_alert_of_an_incident_adds_its_name() -> None:
    alert = AlertSummary(fingerprint="f2", name="DiskSlow", status="firing", summary="", labels={})
    received = events.AlertsReceived(incident_id="inc_1", alerts=(alert,), alert_count=2)

    source = apply(incident_created(), received)

    assert source is not None
    assert source.names == ("DiskFull", "DiskSlow")


def test_an_event_that_is_not_newer_changes_nothing() -> None:
    source = apply(incident_created(), resolved())

    assert project(source, event(resolved(), "inc_1", 2), 10_000) is None


def test_a_change_of_something_unknown_changes_nothing() -> None:
    assert project(None, event(resolved(), "inc_1", 2), 10_000) is None


def test_a_published_review_carries_alerts_and_labels() -> None:
    source = apply(review(), source_id="know_1")

    assert source is not None
    assert (source.names, source.labels) == (("DiskFull",), {"service": "store"})
    assert source.body.startswith("Log rotation was off.")


@pytest.mark.parametrize(
    ("fields", "removed"),
    [
        ({}, False),
        ({"status": "draft"}, False),
        ({"status": "archived"}, True),
        ({"access_level": "restricted"}, True),
        ({"access_level": "private"}, True),
    ],
)
def test_what_not_everybody_may_read_is_not_searched(fields: dict[str, str], removed: bool) -> None:
    source = apply(review(**fields), source_id="know_1")

    assert source is not None
    assert source.removed is removed


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (events.TaskStarted, "in_progress"),
        (events.TaskCompleted, "completed"),
        (events.TaskCancelled, "cancelled"),
    ],
)
def test_a_tasks_state_is_kept(payload: type[events.TaskCreated], status: str) -> None:
    later = payload(task_id="task_1", name="Grow", description="", status=status, priority="normal")

    source = apply(task_created(), later, source_id="task_1")

    assert source is not None
    assert (source.status, source.version) == (status, 2)


def test_a_deleted_task_leaves_search() -> None:
    source = apply(task_created(), events.TaskDeleted(task_id="task_1"), source_id="task_1")

    assert source is not None
    assert source.removed


def test_an_endless_text_is_cut() -> None:
    long = incident_created(description="word " * 5_000)

    source = project(None, event(long, "inc_1", 1), 1_000)

    assert source is not None
    assert len(source.body) == 1_000
