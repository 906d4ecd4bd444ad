"""The Incident sage as a Ray actor."""

from actors.events import DeliverEvent
from actors.incident.domain.dossier import Findings
from actors.incident.messages import Incident
from actors.incident.postgres import PostgresIncidentStore
from actors.incident.sage import IncidentSage
from actors.rag.messages import FindEvidence
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.runtime.pool import Asker
from actors.storage.inbox import Inbox


class RagEvidence:
    """An `EvidenceFinder` that asks the RAG pool."""

    def __init__(self, rag: Asker, limit: int) -> None:
        self._rag = rag
        self._limit = limit

    async def find(self, incident: Incident, cause: DeliverEvent) -> Findings:
        """What the guild knew when the event that asks was written, or later."""
        found = await self._rag.ask(
            FindEvidence(
                context=cause.context,
                incident_id=incident.incident_id,
                title=incident.title,
                description=incident.description,
                alert_names=incident.alert_names,
                labels=incident.labels,
                runbook_urls=incident.runbook_urls,
                affected_systems=incident.affected_systems,
                limit=self._limit,
                min_position=cause.event.position,
            )
        )
        return Findings(
            similar=found.similar,
            runbooks=found.runbooks,
            open_work=found.open_work,
            runbook=found.runbook,
            steps=found.steps,
        )


class IncidentMember(Member):
    """Owns one small pool of connections and the way to the RAG sage."""

    async def open(self, host: Host) -> Handlers:
        """Connects and hands the store and the finder to the sage."""
        settings = host.settings.incident
        database = await host.database()
        host.use_ledger(Inbox(database))
        evidence = RagEvidence(host.pool("rag"), settings.dossier_size)
        return IncidentSage(PostgresIncidentStore(database), evidence, settings).handlers()
