"""The main job as a saga over real sages on PostgreSQL, with deliveries late, doubled and lost."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.bus.messages import GetSaga, Saga
from actors.bus.sagas.host import SagaHost
from actors.bus.sagas.incident_loop import INCIDENT_LOOP, SUBSCRIPTION, TYPES, saga_id_of
from actors.bus.sagas.postgres import PostgresSagaStore
from actors.errors import DeadlineExceeded
from actors.events import (
    DeliverEvent,
    DossierReady,
    IncidentResolved,
    KnowledgeCreated,
    ReviewDrafted,
    RunbookStep,
    SagaFinished,
    StoredEvent,
)
from actors.incident.actor import IncidentMember
from actors.incident.messages import IncidentId, PublishReview, ResolveIncident
from actors.knowledge.actor import KnowledgeMember
from actors.rag.messages import EvidenceFound, FindEvidence
from actors.router.deliveries import deliver_event
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Message, ReplyT
from actors.runtime.nudge import Nudger
from actors.runtime.pool import Asker
from actors.settings import GuildSettings, SagaSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.log import BEGINNING, LogReader
from actors.task.actor import TaskMember
from actors.task.messages import ListTasks, Task
from tests.fixtures.incident import (
    GUILD,
    a_notification,
    an_alert,
    command,
    context,
    some_evidence,
)
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration


class _Forgetful(LocalPool):
    """A pool whose first answer to each delivery is lost on the way back."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._asked: set[str] = set()

    async def ask(self, message: Message[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        reply = await super().ask(message, timeout_s=timeout_s)
        if not isinstance(message, DeliverEvent) or message.command_id in self._asked:
            return reply
        self._asked.add(message.command_id)
        raise DeadlineExceeded("the request")


@dataclass(slots=True)
class Guild:
    """Four sages and the bus, and a log that is delivered when the test says so."""

    pools: dict[str, Asker]
    log: LogReader
    delivered: set[str] = field(default_factory=set)

    async def events(self) -> list[StoredEvent]:
        return await LogReader.read(self.log, BEGINNING, 10_000)

    async def deliver(self, event: StoredEvent) -> None:
        """As the router does it: until it is acknowledged."""
        self.delivered.add(event.event_id)
        while True:
            try:
                await self.pools["bus"].ask(deliver_event(SUBSCRIPTION, event))
            except DeadlineExceeded:
                continue
            return

    async def settle(self, unless: Callable[[StoredEvent], bool] = lambda _: False) -> None:
        """Delivers all there is, twice, and what comes of it."""
        while new := [
            event
            for event in await self.events()
            if event.type in TYPES and event.event_id not in self.delivered and not unless(event)
        ]:
            for event in new:
                await self.deliver(event)
                await self.deliver(event)

    async def alerted(self) -> IncidentId:
        (incident_id,) = (await self.pools["incident"].ask(a_notification(an_alert()))).incidents
        return incident_id

    async def resolve(self, incident_id: IncidentId) -> None:
        resolve = command(ResolveIncident, incident_id, resolution="restarted")
        await self.pools["incident"].ask(resolve)

    async def tasks(self) -> Sequence[Task]:
        return (await self.pools["task"].ask(ListTasks(context=context(), limit=100))).tasks

    async def saga(self, incident_id: IncidentId) -> Saga:
        query = GetSaga(context=context(), saga_id=saga_id_of(incident_id))
        return await self.pools["bus"].ask(query)


async def _find(_: FindEvidence) -> EvidenceFound:
    steps = (RunbookStep(title="look"), RunbookStep(title="restart"))
    return EvidenceFound(runbooks=(some_evidence(),), runbook=some_evidence(), steps=steps)


@pytest.fixture
async def guild(fresh_database: PreparedDatabase) -> AsyncIterator[Guild]:
    await run_as_owner(
        fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, 'ours')", GUILD
    )
    settings = GuildSettings.model_validate({"database_url": fresh_database.app_url})
    pools: dict[str, Asker] = {"rag": LocalPool({FindEvidence: _find})}
    hosts = []
    members = (("incident", IncidentMember), ("task", TaskMember), ("knowledge", KnowledgeMember))
    for name, kind in members:
        to_others: Any = _Directory(pools)
        host = Host(settings, to_others, Nudger(lambda: None, 60.0))
        member = kind(MemberIdentity(pool=name, generation=1, number=1))
        pools[name] = _Forgetful(await member.open(host), host.ledger)
        hosts.append(host)
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as across:
        pools["bus"] = LocalPool(_sagas(app, pools), Inbox(app))
        yield Guild(pools, LogReader(across))
    for host in hosts:
        await host.close()


@dataclass(frozen=True, slots=True)
class _Directory:
    pools: dict[str, Asker]

    def pool(self, name: str) -> Asker:
        return self.pools[name]


def _sagas(app: Database, pools: dict[str, Asker]) -> Any:
    store = PostgresSagaStore(app)
    return SagaHost(store, pools.__getitem__, SagaSettings(), [INCIDENT_LOOP]).handlers()


async def test_the_loop_ends_once_though_answers_are_lost_and_all_comes_twice(
    guild: Guild,
) -> None:
    incident_id = await guild.alerted()
    await guild.settle()
    made = [task.status for task in await guild.tasks()]
    await guild.resolve(incident_id)
    await guild.settle()
    await guild.pools["incident"].ask(command(PublishReview, incident_id))
    await guild.settle()

    saga = await guild.saga(incident_id)
    counts = Counter(type(event.payload) for event in await guild.events())
    once = (DossierReady, ReviewDrafted, KnowledgeCreated, SagaFinished)
    assert made == ["pending", "pending"]
    assert (saga.state, saga.reason) == ("completed", "")
    assert saga.steps == {
        "dossier": "done",
        "tasks": "compensated",
        "review": "done",
        "settle": "done",
        "knowledge": "done",
        "actions": "done",
    }
    assert [counts[kind] for kind in once] == [1, 1, 1, 1]
    assert [task.status for task in await guild.tasks()] == ["cancelled", "cancelled"]


async def test_a_dossier_that_is_delivered_after_the_end_leaves_no_task_behind(
    guild: Guild,
) -> None:
    incident_id = await guild.alerted()
    await guild.settle(unless=lambda event: isinstance(event.payload, DossierReady))
    await guild.resolve(incident_id)
    await guild.settle(unless=lambda event: isinstance(event.payload, DossierReady))

    await guild.settle()

    assert await guild.tasks() == ()
    assert (await guild.saga(incident_id)).steps["tasks"] == "skipped"


async def test_tasks_that_were_made_while_the_incident_ended_are_taken_back(guild: Guild) -> None:
    incident_id = await guild.alerted()
    await guild.settle(unless=lambda event: isinstance(event.payload, DossierReady))
    (ready,) = [one for one in await guild.events() if isinstance(one.payload, DossierReady)]
    await guild.resolve(incident_id)
    (ended,) = [one for one in await guild.events() if isinstance(one.payload, IncidentResolved)]
    # A bus member made the tasks and died before it could write that down.
    with suppress(DeadlineExceeded):
        await guild.pools["task"].ask(deliver_event("task.runbook", ready))
    made = await guild.tasks()

    await guild.deliver(ended)
    await guild.deliver(ready)

    assert len(made) == 2
    assert [task.status for task in await guild.tasks()] == ["cancelled", "cancelled"]
