"""The sage's part of the main job on a real PostgreSQL, with everything delivered twice."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from actors.events import (
    DossierReady,
    IncidentClosed,
    IncidentCreated,
    IncidentResolved,
    Payload,
    ReviewDrafted,
    ReviewPublished,
    StoredEvent,
)
from actors.incident.actor import IncidentMember
from actors.incident.messages import (
    AlertStatus,
    EditReview,
    GetDossier,
    GetIncident,
    PublishReview,
    ResolveIncident,
    ReviewStatus,
    Status,
)
from actors.rag.messages import EvidenceFound, FindEvidence
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.runtime.nudge import Nudger
from actors.settings import DatabaseSettings, GuildSettings
from actors.storage.database import Database
from actors.storage.log import LogReader
from tests.fixtures.incident import (
    GUILD,
    a_delivery,
    a_notification,
    an_alert,
    command,
    context,
    some_evidence,
)
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


class _PoolsOfOne:
    """The RAG pool, played by a function, where a member looks for other pools."""

    def __init__(self) -> None:
        self.asked: list[FindEvidence] = []
        self._rag = LocalPool({FindEvidence: self._find})

    def pool(self, name: str) -> LocalPool:
        assert name == "rag"
        return self._rag

    async def _find(self, query: FindEvidence) -> EvidenceFound:
        self.asked.append(query)
        return EvidenceFound(runbooks=(some_evidence(),), runbook=some_evidence())


class _Guild:
    def __init__(self, member: LocalPool, log: LogReader, pools: _PoolsOfOne) -> None:
        self.member = member
        self.pools = pools
        self._log = log

    async def happened(self, kind: type[Payload]) -> list[StoredEvent]:
        events = await self._log.read(Position(0, 0), 100)
        return [event for event in events if isinstance(event.payload, kind)]

    async def deliver_twice(self, subscription: str, kind: type[Payload]) -> None:
        for event in await self.happened(kind):
            await self.member.ask(a_delivery(subscription, event))
            await self.member.ask(a_delivery(subscription, event))


@pytest.fixture
async def guild(fresh_database: PreparedDatabase) -> AsyncIterator[_Guild]:
    owner = await asyncpg.connect(fresh_database.owner_url)
    await owner.execute("INSERT INTO guilds (guild_id, name) VALUES ($1, 'ours')", GUILD)
    await owner.close()
    pools: Any = _PoolsOfOne()
    host = Host(
        GuildSettings.model_validate({"database_url": fresh_database.app_url}),
        pools,
        Nudger(lambda: None, 60.0),
    )
    member = IncidentMember(MemberIdentity(pool="incident", generation=1, number=1))
    handlers = await member.open(host)
    log = await Database.open(fresh_database.log_url, DatabaseSettings())
    yield _Guild(LocalPool(handlers, host.ledger), LogReader(log), pools)
    await log.close()
    await host.close()


async def test_alert_to_published_review_takes_effect_once_though_all_comes_twice(
    guild: _Guild,
) -> None:
    for _ in range(2):
        reply = await guild.member.ask(a_notification(an_alert()))
    (incident_id,) = reply.incidents
    await guild.deliver_twice("incident.dossier", IncidentCreated)
    for _ in range(2):
        await guild.member.ask(a_notification(an_alert(status=AlertStatus.RESOLVED)))
    await guild.deliver_twice("incident.review", IncidentResolved)
    await guild.member.ask(command(EditReview, incident_id, root_cause="The queue was full."))
    for _ in range(2):
        published = await guild.member.ask(command(PublishReview, incident_id))

    counts = {
        kind.type: len(await guild.happened(kind))
        for kind in (IncidentCreated, DossierReady, ReviewDrafted, ReviewPublished, IncidentClosed)
    }
    incident = await guild.member.ask(GetIncident(context=context(), incident_id=incident_id))
    assert set(counts.values()) == {1}, counts
    assert (published.status, incident.status) == (ReviewStatus.FINAL, Status.CLOSED)


async def test_the_evidence_is_asked_for_as_of_the_event_and_kept(guild: _Guild) -> None:
    (incident_id,) = (await guild.member.ask(a_notification(an_alert(service="shop")))).incidents

    await guild.deliver_twice("incident.dossier", IncidentCreated)

    (created,) = await guild.happened(IncidentCreated)
    (asked,) = guild.pools.asked
    dossier = await guild.member.ask(GetDossier(context=context(), incident_id=incident_id))
    assert (asked.incident_id, asked.min_position) == (incident_id, created.position)
    assert (asked.alert_names, asked.affected_systems) == (("ShopSlow",), ("shop",))
    assert dossier.runbook == some_evidence()


async def test_a_reply_is_recalled_word_for_word_after_a_lost_answer(guild: _Guild) -> None:
    (incident_id,) = (await guild.member.ask(a_notification(an_alert()))).incidents
    resolve = replace(
        command(ResolveIncident, incident_id, resolution="restarted"), command_id="client-key"
    )
    first = await guild.member.ask_outcome(resolve)

    again = await guild.member.ask_outcome(resolve)

    assert (again.reply, again.position) == (first.reply, first.position)
