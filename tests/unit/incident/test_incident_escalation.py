"""Incidents that nobody acknowledges, over the memory store and a clock that we turn."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.events import IncidentEscalated, Priority, TimerFired
from actors.incident.domain import escalation
from actors.incident.domain.change import Change
from actors.incident.domain.dossier import Findings
from actors.incident.messages import (
    AcknowledgeIncident,
    CreateIncident,
    GetIncident,
    GetTimeline,
    Incident,
    IncidentCommand,
    IncidentId,
    ReopenIncident,
    ResolveIncident,
    Severity,
    Status,
    UpdateIncident,
)
from actors.incident.sage import IncidentSage
from actors.runtime.local import LocalPool
from actors.settings import IncidentSettings
from tests.fixtures.incident import (
    NOON,
    a_delivery,
    a_notification,
    an_alert,
    an_incident,
    command,
    command_id,
    context,
)
from tests.fixtures.incident_memory import MemoryIncidentStore
from tests.fixtures.saga_builders import stored

POLICY = IncidentSettings()
MINUTE = timedelta(minutes=1)


class _Nobody:
    async def find(self, incident: Incident, cause: Any) -> Findings:
        raise NotImplementedError


class Ground:
    """A sage whose clock stands until it is moved."""

    def __init__(self) -> None:
        self.now: datetime = NOON
        self.store = MemoryIncidentStore()
        sage = IncidentSage(self.store, _Nobody(), POLICY, now=lambda: self.now)
        self.pool = LocalPool(sage.handlers(), self.store)
        self.fired = 0

    async def opened(self, severity: Severity = Severity.CRITICAL) -> Incident:
        create = CreateIncident(
            context=context(), command_id=command_id(), title="Slow", severity=severity
        )
        return await self.pool.ask(create)

    async def incident(self, incident_id: IncidentId) -> Incident:
        return await self.pool.ask(GetIncident(context=context(), incident_id=incident_id))

    async def passes(self, time: timedelta) -> None:
        """Lets time pass, and every alarm that comes due meanwhile fire."""
        end = self.now + time
        while due := sorted(
            (alarm.due_at, alarm.timer_id)
            for alarm in self.store.alarms.values()
            if alarm.due_at <= end
        ):
            self.now, timer_id = due[0]
            del self.store.alarms[timer_id]
            await self.fires(timer_id)
        self.now = end

    async def fires(self, timer_id: str, name: str = escalation.TIMER, **data: Any) -> None:
        incidents = [key for _, key in self.store._records]
        fired = TimerFired(
            timer_id=timer_id,
            name=name,
            due_at=self.now,
            occurrence=1,
            data=data or {"incident_id": incidents[0]},
        )
        event = stored(fired, timer_id, guild_id=context().caller.guild_id)
        await self.pool.ask(a_delivery("incident.escalation", event))

    def escalations(self) -> list[int]:
        return [
            event.payload.level
            for event in self.store.log
            if isinstance(event.payload, IncidentEscalated)
        ]


@pytest.mark.parametrize(
    ("severity", "minutes"),
    [(Severity.CRITICAL, 5), (Severity.HIGH, 15), (Severity.MEDIUM, 60)],
)
async def test_an_incident_waits_as_long_as_its_severity_allows(
    severity: Severity, minutes: int
) -> None:
    ground = Ground()

    incident = await ground.opened(severity)

    (alarm,) = ground.store.alarms.values()
    assert incident.escalates_at == alarm.due_at == NOON + minutes * MINUTE


@pytest.mark.parametrize("severity", [Severity.LOW, Severity.INFO])
async def test_what_is_not_urgent_is_never_escalated(severity: Severity) -> None:
    ground = Ground()

    incident = await ground.opened(severity)

    assert (incident.escalates_at, ground.store.alarms) == (None, {})


async def test_an_incident_that_came_as_an_alert_waits_like_one_made_by_hand() -> None:
    ground = Ground()

    await ground.pool.ask(a_notification(an_alert()))

    (alarm,) = ground.store.alarms.values()
    assert alarm.due_at == NOON + 60 * MINUTE


async def test_it_is_escalated_level_by_level_as_long_as_nobody_comes() -> None:
    ground = Ground()
    made = await ground.opened(Severity.HIGH)

    await ground.passes(14 * MINUTE)
    early = await ground.incident(made.incident_id)
    await ground.passes(MINUTE)
    first = await ground.incident(made.incident_id)
    await ground.passes(600 * MINUTE)
    last = await ground.incident(made.incident_id)

    timeline = await ground.pool.ask(GetTimeline(context=context(), incident_id=made.incident_id))
    assert early == made
    assert (first.escalation_level, first.priority) == (1, Priority.HIGH)
    assert first.escalates_at == NOON + 30 * MINUTE
    assert (last.escalation_level, last.priority) == (3, Priority.CRITICAL)
    assert (last.status, last.escalates_at) == (Status.OPEN, None)
    assert (ground.escalations(), ground.store.alarms) == ([1, 2, 3], {})
    assert timeline.entries[1].text == (
        "Escalated to level 1: nobody acknowledged it within 15 min"
    )


Answer = Callable[[Ground, Incident], Awaitable[Any]]


def asks(kind: type[IncidentCommand[Incident]], **fields: Any) -> Answer:
    return lambda ground, incident: ground.pool.ask(command(kind, incident, **fields))


@pytest.mark.parametrize(
    "answer",
    [asks(AcknowledgeIncident), asks(ResolveIncident, resolution="restarted")],
)
async def test_who_comes_in_time_ends_the_waiting(answer: Answer) -> None:
    ground = Ground()
    incident = await ground.opened()
    (alarm,) = ground.store.alarms.values()

    await answer(ground, incident)
    await ground.fires(alarm.timer_id)

    assert (ground.store.alarms, ground.escalations()) == ({}, [])


async def test_a_reopened_incident_waits_anew_from_level_zero() -> None:
    ground = Ground()
    incident = await ground.opened()
    await ground.passes(5 * MINUTE)
    await asks(ResolveIncident, resolution="restarted")(ground, incident)

    reopened = await ground.pool.ask(command(ReopenIncident, incident, reason="not over"))

    (alarm,) = ground.store.alarms.values()
    assert (reopened.escalation_level, alarm.due_at) == (0, NOON + 10 * MINUTE)


async def test_what_gets_worse_waits_shorter_and_never_longer() -> None:
    ground = Ground()
    incident = await ground.opened(Severity.LOW)
    for severity, at in ((Severity.MEDIUM, 60), (Severity.CRITICAL, 5), (Severity.HIGH, 5)):
        worse = await ground.pool.ask(command(UpdateIncident, incident, severity=severity))

        (alarm,) = ground.store.alarms.values()
        assert worse.escalates_at == alarm.due_at == NOON + at * MINUTE


async def test_timers_of_others_are_none_of_its_business() -> None:
    ground = Ground()
    incident = await ground.opened()

    await ground.fires("timer_1")
    await ground.fires("timer_1", name="tea")
    await ground.fires("timer_1", incident_id="inc_none")
    await ground.fires("timer_1", other=1)

    assert await ground.incident(incident.incident_id) == incident


async def test_a_firing_that_is_delivered_twice_escalates_once() -> None:
    ground = Ground()
    await ground.opened()
    (alarm,) = ground.store.alarms.values()

    await ground.fires(alarm.timer_id)
    await ground.fires(alarm.timer_id)

    assert ground.escalations() == [1]


@given(
    before=st.builds(
        an_incident,
        status=st.sampled_from(Status),
        severity=st.sampled_from(Severity),
        escalation_level=st.integers(0, 3),
        escalates_at=st.none() | st.just(NOON + MINUTE),
    ),
    status=st.sampled_from(Status),
    severity=st.sampled_from(Severity),
)
def test_an_alarm_is_pending_exactly_while_the_incident_waits(
    before: Incident, status: Status, severity: Severity
) -> None:
    after = an_incident(status, severity=severity, escalates_at=before.escalates_at, version=2)
    change = Change(record=after, version_before=1, events=())

    timed = escalation.timed(change, before, POLICY, NOON)

    assert isinstance(timed.record, Incident)
    waits = timed.record.escalates_at
    assert waits is None or timed.record.status is Status.OPEN
    if waits != before.escalates_at:
        assert timed.cancelled_alarm == escalation.alarm_id(before)
        assert (timed.alarm.due_at if timed.alarm else None) == waits
