"""Alerts become incidents: one for each fault, whatever the notifications do on their way."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors import clock
from actors.events import (
    AlertsReceived,
    AlertsResolved,
    IncidentCreated,
    IncidentReopened,
    IncidentResolved,
    IncidentUpdated,
    Payload,
    Priority,
)
from actors.incident.domain import intake, lifecycle
from actors.incident.messages import (
    Alert,
    AlertsAccepted,
    AlertStatus,
    Incident,
    IncidentId,
    IncomingAlert,
    ReceiveAlerts,
    ResolveIncident,
    Severity,
    Status,
)
from actors.settings import IncidentSettings
from tests.fixtures.incident import NOON, a_notification, an_alert, command

FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED
POLICY = IncidentSettings(reopen_window_s=600, alerts_in_event=2)
AFTER_THE_WINDOW = NOON + timedelta(minutes=11)


@dataclass
class World:
    """What a store would hold, and everything that happened."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    incidents: dict[IncidentId, Incident] = field(default_factory=dict)
    happened: list[Payload] = field(default_factory=list)

    def receive(
        self, *alerts: IncomingAlert, now: datetime = NOON, group_key: str = "shop"
    ) -> AlertsAccepted:
        return self.take(a_notification(*alerts, group_key=group_key), now)

    def take(self, notification: ReceiveAlerts, now: datetime) -> AlertsAccepted:
        decided = intake.receive(
            notification,
            intake.Known(alerts=self._seen(notification), incidents=self.incidents),
            policy=POLICY,
            now=now,
            new_id=clock.new_id,
        )
        self.alerts |= {alert.fingerprint: alert for alert in decided.alerts}
        for change in decided.changes:
            assert isinstance(change.record, Incident)
            assert change.events
            assert change.record.version == change.version_before + len(change.events)
            self.incidents[change.record.incident_id] = change.record
            self.happened += change.events
        return decided.reply

    def _seen(self, notification: ReceiveAlerts) -> dict[str, Alert]:
        asked = {alert.fingerprint for alert in notification.alerts}
        return {name: alert for name, alert in self.alerts.items() if name in asked}

    @property
    def incident(self) -> Incident:
        """The only one."""
        (found,) = self.incidents.values()
        return found

    def resolve_by_hand(self, at: datetime = NOON) -> None:
        resolve = command(ResolveIncident, self.incident, resolution="restarted")
        resolved, _ = lifecycle.resolve(self.incident, resolve, at)
        self.incidents[resolved.incident_id] = resolved


def kinds(events: Sequence[Payload]) -> list[type[Payload]]:
    return [type(event) for event in events]


def test_the_firing_alerts_of_a_group_open_one_incident() -> None:
    world = World()

    reply = world.receive(
        an_alert("f1", service="shop"),
        an_alert("f2", service="shop", severity="critical", instance="b"),
        an_alert("f3", RESOLVED),
    )

    incident = world.incident
    assert reply == AlertsAccepted(accepted=2, deduplicated=1, incidents=(incident.incident_id,))
    assert (incident.alert_count, incident.firing_count) == (2, 2)
    assert (incident.severity, incident.priority) == (Severity.CRITICAL, Priority.CRITICAL)
    assert incident.title == "ShopSlow: p95 above 2 s"
    assert incident.labels == {"alertname": "ShopSlow", "service": "shop"}
    assert incident.affected_systems == ("shop",)
    assert incident.runbook_urls == ("https://runbooks.test/shop-slow",)
    assert kinds(world.happened) == [IncidentCreated]


def test_alerts_without_a_group_are_incidents_of_their_own() -> None:
    world = World()

    reply = world.receive(an_alert("f1"), an_alert("f2"), group_key="")

    assert len(reply.incidents) == len(world.incidents) == 2


def test_an_end_without_a_beginning_creates_nothing() -> None:
    world = World()

    reply = world.receive(an_alert("f1", RESOLVED))

    assert reply == AlertsAccepted(accepted=0, deduplicated=1, incidents=())
    assert (world.alerts, world.incidents) == ({}, {})


def test_a_repeat_moves_only_count_and_time() -> None:
    world = World()
    world.receive(an_alert())
    before = world.incident, world.alerts["f1"]

    reply = world.receive(an_alert(), now=NOON + timedelta(hours=4))

    assert reply.deduplicated == 1
    assert world.incident == before[0]
    assert world.alerts["f1"] == replace(
        before[1], received_count=2, last_received_at=NOON + timedelta(hours=4)
    )
    assert kinds(world.happened) == [IncidentCreated]


def test_a_new_alert_joins_its_groups_open_incident_and_can_make_it_worse() -> None:
    world = World()
    world.receive(an_alert("f1"))

    world.receive(an_alert("f1"), an_alert("f2", severity="critical"))

    assert (world.incident.alert_count, world.incident.severity) == (2, Severity.CRITICAL)
    assert kinds(world.happened[1:]) == [AlertsReceived, IncidentUpdated]


def test_a_fingerprint_stays_with_its_open_incident_when_its_group_changes() -> None:
    world = World()
    world.receive(an_alert("f1"), group_key="old")

    reply = world.receive(an_alert("f1"), an_alert("f2"), group_key="new")

    assert len(reply.incidents) == 2
    assert world.alerts["f1"].incident_id != world.alerts["f2"].incident_id


def test_the_last_end_resolves_the_incident_by_its_source() -> None:
    world = World()
    world.receive(an_alert("f1"), an_alert("f2"))

    world.receive(an_alert("f1", RESOLVED))
    still_open = world.incident
    world.receive(an_alert("f1", RESOLVED), an_alert("f2", RESOLVED))

    assert (still_open.status, still_open.firing_count) == (Status.OPEN, 1)
    assert world.incident.status is Status.RESOLVED
    assert world.incident.resolved_by == lifecycle.BY_SOURCE
    assert kinds(world.happened[1:]) == [AlertsResolved, AlertsResolved, IncidentResolved]


def test_an_incident_stays_open_when_one_alert_ends_as_another_begins() -> None:
    world = World()
    world.receive(an_alert("f1"))

    world.receive(an_alert("f1", RESOLVED), an_alert("f2"))

    assert (world.incident.status, world.incident.firing_count) == (Status.OPEN, 1)


def test_a_new_episode_inside_the_window_reopens() -> None:
    world = World()
    world.receive(an_alert())
    world.receive(an_alert(status=RESOLVED))

    world.receive(an_alert(starts_at=NOON + timedelta(minutes=5)), now=NOON + timedelta(minutes=5))

    assert (world.incident.status, world.incident.reopen_count) == (Status.OPEN, 1)
    assert (world.incident.alert_count, world.incident.firing_count) == (1, 1)
    assert kinds(world.happened[-2:]) == [IncidentReopened, AlertsReceived]


def test_a_new_episode_after_the_window_is_a_recurrence() -> None:
    world = World()
    world.receive(an_alert())
    world.receive(an_alert(status=RESOLVED))
    first = world.incident

    reply = world.receive(an_alert(starts_at=AFTER_THE_WINDOW), now=AFTER_THE_WINDOW)

    (second,) = (world.incidents[found] for found in reply.incidents)
    assert second.incident_id != first.incident_id
    assert second.recurrence_of == first.incident_id


def test_an_alert_that_reopens_takes_the_groups_new_alerts_along() -> None:
    world = World()
    world.receive(an_alert("f1"))
    world.receive(an_alert("f1", RESOLVED))

    world.receive(an_alert("f0"), an_alert("f1", starts_at=NOON + timedelta(minutes=2)))

    assert (world.incident.status, world.incident.alert_count) == (Status.OPEN, 2)


def test_an_echo_of_a_firing_alert_does_not_reopen_what_a_person_resolved() -> None:
    world = World()
    world.receive(an_alert())
    world.resolve_by_hand()

    reply = world.receive(an_alert(), now=NOON + timedelta(minutes=1))

    assert reply.deduplicated == 1
    assert world.incident.status is Status.RESOLVED


def test_an_alert_that_never_stopped_is_not_silenced_for_ever_by_a_wrong_resolve() -> None:
    world = World()
    world.receive(an_alert())
    world.resolve_by_hand()
    first = world.incident

    reply = world.receive(an_alert(), now=AFTER_THE_WINDOW)

    assert reply.accepted == 1
    assert world.incidents[reply.incidents[0]].recurrence_of == first.incident_id
    assert world.incidents[first.incident_id].firing_count == 0


def test_an_end_after_a_resolve_by_hand_is_noted_and_changes_no_status() -> None:
    world = World()
    world.receive(an_alert())
    world.resolve_by_hand()

    world.receive(an_alert(status=RESOLVED))

    assert (world.incident.status, world.incident.firing_count) == (Status.RESOLVED, 0)
    assert world.incident.resolved_by == "user_1"


def test_the_late_end_of_an_earlier_episode_is_ignored() -> None:
    world = World()
    later = NOON + timedelta(minutes=5)
    world.receive(an_alert(starts_at=later))

    reply = world.receive(an_alert(status=RESOLVED, starts_at=NOON))

    assert reply.deduplicated == 1
    assert world.incident.firing_count == 1


def test_an_episode_that_turns_out_to_have_begun_earlier_still_ends() -> None:
    world = World()
    world.receive(an_alert(starts_at=NOON))

    world.receive(
        an_alert(status=RESOLVED, starts_at=NOON - timedelta(seconds=9), ends_at=AFTER_THE_WINDOW)
    )

    assert world.incident.status is Status.RESOLVED


def test_events_carry_the_first_alerts_and_count_all() -> None:
    world = World()

    world.receive(*(an_alert(f"f{number}") for number in range(5)))

    (created,) = world.happened
    assert isinstance(created, IncidentCreated)
    assert (len(created.alerts), created.alert_count) == (POLICY.alerts_in_event, 5)


def test_unknown_severities_are_medium_and_keep_their_label() -> None:
    world = World()

    world.receive(an_alert(severity="apocalyptic"))

    assert world.incident.severity is Severity.MEDIUM
    assert world.incident.labels["severity"] == "apocalyptic"


def test_one_notification_that_names_an_alert_twice_is_about_its_latest_episode() -> None:
    world = World()
    later = NOON + timedelta(minutes=1)

    reply = world.receive(an_alert(starts_at=later), an_alert(status=RESOLVED, ends_at=later))

    assert (reply.accepted, reply.deduplicated) == (1, 1)
    assert world.alerts["f1"].starts_at == later


def test_an_alert_whose_own_incident_ended_joins_the_open_one_of_its_old_group() -> None:
    world = World()
    world.receive(an_alert("f1"), group_key="old")
    world.receive(an_alert("f1", RESOLVED), group_key="old")
    world.receive(an_alert("f2"), group_key="old")
    opened = world.alerts["f2"].incident_id
    later = NOON + timedelta(minutes=2)

    reply = world.receive(an_alert("f1", starts_at=later), now=later, group_key="new")

    assert reply.incidents == (opened,)
    assert world.incidents[opened].alert_count == 2


EPISODES = st.builds(
    lambda fingerprint, status, minute: an_alert(
        fingerprint,
        status,
        starts_at=NOON + timedelta(minutes=minute),
        ends_at=None if status is FIRING else NOON + timedelta(minutes=minute, seconds=30),
    ),
    st.sampled_from(["f1", "f2", "f3"]),
    st.sampled_from([FIRING, RESOLVED]),
    st.integers(0, 3),
)


def firing(fingerprint: str, minute: int = 0) -> IncomingAlert:
    return an_alert(fingerprint, FIRING, starts_at=NOON + timedelta(minutes=minute))


def ended(fingerprint: str) -> IncomingAlert:
    return an_alert(
        fingerprint, AlertStatus.RESOLVED, starts_at=NOON, ends_at=NOON + timedelta(seconds=30)
    )


NOTIFICATIONS = st.lists(
    st.tuples(st.lists(EPISODES, min_size=1, max_size=4), st.integers(0, 8)), max_size=10
)


@settings(deadline=None)
@given(NOTIFICATIONS)
def test_whatever_arrives_in_whatever_order_a_group_has_one_open_incident(
    notifications: list[tuple[list[IncomingAlert], int]],
) -> None:
    world = World()
    now = NOON

    for alerts, pause_minutes in notifications:
        now += timedelta(minutes=pause_minutes)
        reply = world.receive(*alerts, now=now)

        assert reply.accepted + reply.deduplicated == len(alerts)
        assert sum(found.status.is_open for found in world.incidents.values()) <= 1
        for incident in world.incidents.values():
            own = [a for a in world.alerts.values() if a.incident_id == incident.incident_id]
            assert incident.firing_count == sum(alert.status is FIRING for alert in own)
            assert incident.alert_count >= len(own)
            assert incident.status.is_open == (incident.firing_count > 0)


@settings(deadline=None)
@given(NOTIFICATIONS)
@example(
    # One of two alerts ends, then the other, and that one's return brings the first one's echo.
    [
        ([firing("f1"), firing("f3")], 0),
        ([ended("f3")], 0),
        ([firing("f1")], 2),
        ([ended("f1")], 5),
        ([firing("f1", 1), firing("f3")], 4),
    ]
)
def test_a_notification_that_comes_twice_at_once_says_nothing_the_second_time(
    notifications: list[tuple[list[IncomingAlert], int]],
) -> None:
    world = World()
    now = NOON

    for alerts, pause_minutes in notifications:
        now += timedelta(minutes=pause_minutes)
        world.receive(*alerts, now=now)
        before = dict(world.incidents)

        again = world.receive(*alerts, now=now)

        assert (again.accepted, world.incidents) == (0, before)
