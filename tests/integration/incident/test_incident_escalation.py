"""Escalation from end to end on PostgreSQL: the sage sets the timer, the router's side fires it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from actors.events import IncidentEscalated, TimerFired
from actors.incident.actor import IncidentMember
from actors.incident.messages import (
    AcknowledgeIncident,
    CreateIncident,
    GetIncident,
    Incident,
    Severity,
)
from actors.router.deliveries import deliver_event
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.nudge import Nudger
from actors.settings import GuildSettings
from actors.storage import timers
from actors.storage.database import Database
from actors.storage.leaders import Leaders
from actors.storage.log import BEGINNING, LogReader
from tests.fixtures.incident import GUILD, command, command_id, context
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration


class _NoPools:
    def pool(self, name: str) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Ground:
    member: LocalPool
    across: Database

    async def opened(self) -> Incident:
        return await self.member.ask(
            CreateIncident(
                context=context(), command_id=command_id(), title="X", severity=Severity.CRITICAL
            )
        )

    async def fire(self) -> int:
        lease = await Leaders(self.across).acquire("router", "the test")
        assert lease is not None
        return await timers.fire_due(self.across, lease, 100)

    async def deliver(self) -> None:
        for event in await LogReader(self.across).read(BEGINNING, 1000):
            if isinstance(event.payload, TimerFired):
                await self.member.ask(deliver_event("incident.escalation", event))

    async def escalations(self) -> list[int]:
        events = await LogReader(self.across).read(BEGINNING, 1000)
        return [one.payload.level for one in events if isinstance(one.payload, IncidentEscalated)]


@pytest.fixture
async def ground(fresh_database: PreparedDatabase) -> AsyncIterator[Ground]:
    await run_as_owner(
        fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, 'ours')", GUILD
    )
    pools: Any = _NoPools()
    impatient = {"escalate_critical_s": 0.001, "max_escalations": 2}
    host = Host(
        GuildSettings.model_validate(
            {"database_url": fresh_database.app_url, "incident": impatient}
        ),
        pools,
        Nudger(lambda: None, 60.0),
    )
    member = IncidentMember(MemberIdentity(pool="incident", generation=1, number=1))
    handlers = await member.open(host)
    async with opened(fresh_database.log_url) as across:
        yield Ground(LocalPool(handlers, host.ledger), across)
    await host.close()


async def test_it_is_escalated_once_for_each_timer_until_the_last_level(ground: Ground) -> None:
    incident = await ground.opened()
    counts = []
    for _ in range(3):
        counts.append(await ground.fire())
        await ground.deliver()
        await ground.deliver()

    seen = await ground.member.ask(GetIncident(context=context(), incident_id=incident.incident_id))
    assert counts == [1, 1, 0]
    assert await ground.escalations() == [1, 2]
    assert (seen.escalation_level, seen.escalates_at) == (2, None)


async def test_an_acknowledgement_cancels_the_timer_in_its_own_transaction(
    ground: Ground,
) -> None:
    incident = await ground.opened()

    await ground.member.ask(command(AcknowledgeIncident, incident))

    assert await ground.fire() == 0


async def test_an_acknowledgement_wins_over_a_timer_that_has_just_fired(ground: Ground) -> None:
    incident = await ground.opened()
    fired = await ground.fire()

    await ground.member.ask(command(AcknowledgeIncident, incident))
    await ground.deliver()

    assert (fired, await ground.escalations()) == (1, [])
