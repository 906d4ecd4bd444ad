"""The sage as its callers meet it: messages in, replies out, everything pickled on the way."""

from dataclasses import replace

import pytest

from actors.errors import ElderGuildError, NotFound, ValidationError, VersionConflict
from actors.events import (
    DossierReady,
    IncidentClosed,
    IncidentCreated,
    IncidentResolved,
    Payload,
    ReviewDrafted,
    ReviewPublished,
    RunbookStep,
    StoredEvent,
)
from actors.incident.domain.dossier import Findings
from actors.incident.messages import (
    AcknowledgeIncident,
    AlertStatus,
    CreateIncident,
    DraftReview,
    EditReview,
    GetDossier,
    GetIncident,
    GetReview,
    GetTimeline,
    Incident,
    IncidentId,
    ListAlerts,
    ListIncidents,
    PublishReview,
    ReopenIncident,
    ResolveIncident,
    ReviewStatus,
    Status,
    UpdateIncident,
)
from actors.incident.sage import IncidentSage
from actors.runtime.local import LocalPool
from actors.settings import IncidentSettings
from tests.fixtures.incident import (
    FoundEvidence,
    Ticking,
    a_delivery,
    a_notification,
    an_alert,
    command,
    command_id,
    context,
    some_evidence,
)
from tests.fixtures.incident_memory import MemoryIncidentStore


class Guild:
    """An Incident sage with everything it needs, and the router's part played by hand."""

    def __init__(self) -> None:
        self.store = MemoryIncidentStore()
        self.evidence = FoundEvidence()
        self.clock = Ticking()
        sage = IncidentSage(
            self.store, self.evidence, IncidentSettings(timeline_limit=20), now=self.clock
        )
        self.pool = LocalPool(sage.handlers(), self.store)

    async def alert(self, *fingerprints: str) -> IncidentId:
        alerts = [an_alert(fingerprint) for fingerprint in fingerprints or ("f1",)]
        (incident_id,) = (await self.pool.ask(a_notification(*alerts))).incidents
        return incident_id

    async def get(self, incident_id: IncidentId) -> Incident:
        return await self.pool.ask(GetIncident(context=context(), incident_id=incident_id))

    async def resolve(self, incident_id: IncidentId) -> Incident:
        return await self.pool.ask(command(ResolveIncident, incident_id, resolution="restarted"))

    async def deliver(self, subscription: str, kind: type[Payload]) -> None:
        """Delivers the latest event of this kind."""
        await self.pool.ask(a_delivery(subscription, self.happened(kind)[-1]))

    def happened(self, kind: type[Payload]) -> list[StoredEvent]:
        return [event for event in self.store.log if isinstance(event.payload, kind)]


@pytest.fixture
def guild() -> Guild:
    return Guild()


async def test_the_loop_from_alert_to_published_review(guild: Guild) -> None:
    incident_id = await guild.alert("f1", "f2")
    await guild.deliver("incident.dossier", IncidentCreated)
    await guild.pool.ask(command(AcknowledgeIncident, incident_id))
    await guild.resolve(incident_id)
    await guild.deliver("incident.review", IncidentResolved)
    await guild.pool.ask(command(EditReview, incident_id, lessons="Look earlier."))

    published = await guild.pool.ask(command(PublishReview, incident_id))

    assert (published.status, published.author_id) == (ReviewStatus.FINAL, "user_1")
    assert (await guild.get(incident_id)).status is Status.CLOSED
    assert len(guild.happened(ReviewPublished)) == len(guild.happened(IncidentClosed)) == 1
    assert {event.correlation_id for event in guild.store.log} == {"corr_1"}


async def test_a_command_that_comes_twice_answers_its_first_reply(guild: Guild) -> None:
    create = CreateIncident(context=context(), command_id="retry-me", title="Slow")

    first = await guild.pool.ask(create)
    second = await guild.pool.ask(create)

    assert first == second
    assert len(guild.store.log) == 1


async def test_publishing_again_answers_the_same(guild: Guild) -> None:
    incident_id = await guild.alert()
    await guild.resolve(incident_id)
    await guild.pool.ask(command(DraftReview, incident_id))
    first = await guild.pool.ask(command(PublishReview, incident_id))

    second = await guild.pool.ask(command(PublishReview, incident_id))

    assert first == second
    assert len(guild.happened(ReviewPublished)) == 1


async def test_a_stale_if_match_changes_nothing(guild: Guild) -> None:
    incident_id = await guild.alert()
    await guild.pool.ask(command(AcknowledgeIncident, incident_id))

    with pytest.raises(VersionConflict):
        await guild.pool.ask(command(UpdateIncident, incident_id, title="X", expected_version=1))

    assert (await guild.get(incident_id)).version == 2


async def test_a_dossier_is_compiled_once_however_often_its_event_is_delivered(
    guild: Guild,
) -> None:
    steps = (RunbookStep(title="Look"),)
    guild.evidence.findings = Findings(runbook=some_evidence(), steps=steps)
    incident_id = await guild.alert()

    await guild.deliver("incident.dossier", IncidentCreated)
    await guild.deliver("incident.dossier", IncidentCreated)

    dossier = await guild.pool.ask(GetDossier(context=context(), incident_id=incident_id))
    assert (dossier.version, dossier.steps) == (1, steps)
    assert len(guild.happened(DossierReady)) == 1
    assert guild.evidence.asked == [incident_id]


async def test_there_is_no_dossier_before_it_is_ready(guild: Guild) -> None:
    incident_id = await guild.alert()

    with pytest.raises(NotFound):
        await guild.pool.ask(GetDossier(context=context(), incident_id=incident_id))


async def test_what_helped_is_told_with_the_end(guild: Guild) -> None:
    line = some_evidence()
    guild.evidence.findings = Findings(runbooks=(line,))
    incident_id = await guild.alert()
    await guild.deliver("incident.dossier", IncidentCreated)
    helped = (line.source_id, line.source_id)

    await guild.pool.ask(command(ResolveIncident, incident_id, resolution="rotated", helped=helped))

    (event,) = guild.happened(IncidentResolved)
    assert isinstance(event.payload, IncidentResolved)
    assert event.payload.helped == (line.source_id,)


@pytest.mark.parametrize("shown", [True, False])
async def test_what_the_dossier_does_not_show_cannot_have_helped(guild: Guild, shown: bool) -> None:
    guild.evidence.findings = Findings(runbooks=(some_evidence(),))
    incident_id = await guild.alert()
    if shown:
        await guild.deliver("incident.dossier", IncidentCreated)

    with pytest.raises(ValidationError):
        await guild.pool.ask(
            command(ResolveIncident, incident_id, resolution="rotated", helped=("doc_else",))
        )

    assert (await guild.get(incident_id)).status is Status.OPEN


async def test_each_end_drafts_the_one_review(guild: Guild) -> None:
    incident_id = await guild.alert()
    await guild.resolve(incident_id)
    await guild.deliver("incident.review", IncidentResolved)
    await guild.deliver("incident.review", IncidentResolved)
    first = await guild.pool.ask(GetReview(context=context(), incident_id=incident_id))
    guild.clock.advance(minutes=1)
    await guild.pool.ask(command(ReopenIncident, incident_id, reason="still slow"))
    guild.clock.advance(minutes=1)
    await guild.resolve(incident_id)

    await guild.deliver("incident.review", IncidentResolved)

    second = await guild.pool.ask(GetReview(context=context(), incident_id=incident_id))
    assert (first.review_id, first.version) == (second.review_id, 1)
    assert second.version == 2
    assert len(guild.happened(ReviewDrafted)) == 2


async def test_a_review_is_not_drafted_for_an_incident_that_is_open_again(guild: Guild) -> None:
    incident_id = await guild.alert()
    await guild.resolve(incident_id)
    await guild.pool.ask(command(ReopenIncident, incident_id, reason="still slow"))

    await guild.deliver("incident.review", IncidentResolved)

    assert guild.happened(ReviewDrafted) == []
    with pytest.raises(NotFound):
        await guild.pool.ask(GetReview(context=context(), incident_id=incident_id))


async def test_an_unknown_subscription_is_a_failure_and_not_a_success(guild: Guild) -> None:
    await guild.alert()

    with pytest.raises(ElderGuildError):
        await guild.deliver("incident.nonsense", IncidentCreated)


async def test_the_timeline_is_bounded_and_says_so(guild: Guild) -> None:
    incident_id = await guild.alert()
    for number in range(25):
        await guild.pool.ask(command(UpdateIncident, incident_id, description=str(number)))

    timeline = await guild.pool.ask(GetTimeline(context=context(), incident_id=incident_id))

    assert (len(timeline.entries), timeline.complete) == (20, False)
    assert timeline.entries[0].kind == IncidentCreated.type


async def test_lists_lead_from_page_to_page(guild: Guild) -> None:
    for _ in range(3):
        create = CreateIncident(context=context(), command_id=command_id(), title="Slow")
        await guild.pool.ask(create)
        guild.clock.advance(minutes=1)
    query = ListIncidents(context=context(), limit=2)

    first = await guild.pool.ask(query)
    rest = await guild.pool.ask(replace(query, cursor=first.next_cursor))

    assert (len(first.items), len(rest.items), rest.next_cursor) == (2, 1, None)


@pytest.mark.parametrize("limit", [0, 101])
async def test_a_page_has_between_1_and_100_lines(guild: Guild, limit: int) -> None:
    with pytest.raises(ValidationError, match="limit"):
        await guild.pool.ask(ListIncidents(context=context(), limit=limit))


async def test_alerts_are_listed_with_their_incident(guild: Guild) -> None:
    incident_id = await guild.alert("f1", "f2")
    query = ListAlerts(context=context(), incident_id=incident_id, limit=1)

    first = await guild.pool.ask(query)
    rest = await guild.pool.ask(replace(query, cursor=first.next_cursor))

    assert [alert.fingerprint for alert in (*first.items, *rest.items)] == ["f1", "f2"]
    assert {alert.status for alert in first.items} == {AlertStatus.FIRING}
