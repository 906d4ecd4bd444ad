"""The Incident sage: load, decide, commit."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from actors import access, clock
from actors.errors import NotFound
from actors.events import DeliverEvent, TimerFired
from actors.incident.domain import (
    dossier,
    editing,
    escalation,
    intake,
    lifecycle,
    paging,
    review,
    timeline,
)
from actors.incident.domain.change import Change, check_version
from actors.incident.domain.dossier import Findings
from actors.incident.domain.editing import Decided
from actors.incident.domain.intake import Intake, Known
from actors.incident.messages import (
    AcknowledgeIncident,
    AlertPage,
    AlertsAccepted,
    AssessIncident,
    AssignIncident,
    CloseIncident,
    Communicate,
    CreateIncident,
    Dossier,
    DraftReview,
    EditReview,
    GetDossier,
    GetIncident,
    GetReview,
    GetTimeline,
    Incident,
    IncidentCommand,
    IncidentId,
    IncidentPage,
    ListAlerts,
    ListIncidents,
    PublishReview,
    ReceiveAlerts,
    ReopenIncident,
    ResolveIncident,
    RespondIncident,
    Review,
    Status,
    Timeline,
    TimelineEntry,
    UpdateIncident,
)
from actors.incident.store import IncidentStore
from actors.runtime.message import Command, GuildId, Handlers
from actors.settings import IncidentSettings

CommandT = TypeVar("CommandT", bound=IncidentCommand[Incident])


class EvidenceFinder(Protocol):
    """Who knows what the guild knows; the RAG sage, in a running guild."""

    async def find(self, incident: Incident, cause: DeliverEvent) -> Findings:
        """What is known about the incident, as of the event that asks or later.

        Raises:
            StaleIndex: search has not read as far as that yet; deliver again.
        """
        ...


class IncidentSage:
    """What the guild does about what goes wrong.

    Every command is decided by a pure function of ``domain`` on the state that was loaded, and
    written with its events in one transaction; who lost a race gets `VersionConflict`.
    """

    def __init__(
        self,
        store: IncidentStore,
        evidence: EvidenceFinder,
        settings: IncidentSettings,
        *,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._settings = settings
        self._now = now
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            ReceiveAlerts: self.receive_alerts,
            CreateIncident: self.create,
            UpdateIncident: self._by(editing.update),
            AcknowledgeIncident: self._by(lifecycle.acknowledge),
            AssignIncident: self._by(lifecycle.assign),
            AssessIncident: self._by(lifecycle.assess),
            RespondIncident: self._by(lifecycle.respond),
            Communicate: self._by(lifecycle.communicate),
            ResolveIncident: self.resolve,
            ReopenIncident: self._by(lifecycle.reopen),
            CloseIncident: self._by(lifecycle.waive_review),
            DraftReview: self.draft_review,
            EditReview: self.edit_review,
            PublishReview: self.publish_review,
            GetIncident: self.get,
            ListIncidents: self.list_incidents,
            ListAlerts: self.list_alerts,
            GetTimeline: self.get_timeline,
            GetDossier: self.get_dossier,
            GetReview: self.get_review,
            DeliverEvent: self.deliver,
        }

    async def receive_alerts(self, command: ReceiveAlerts) -> AlertsAccepted:
        """Takes a notification in; repeating it changes nothing but counts."""
        now = self._now()

        def decide(known: Known) -> Intake:
            taken = intake.receive(
                command, known, policy=self._settings, now=now, new_id=self._new_id
            )
            changes = [
                escalation.timed(
                    change, known.incidents.get(IncidentId(change.record_id)), self._settings, now
                )
                for change in taken.changes
            ]
            return replace(taken, changes=tuple(changes))

        return await self._store.receive(command, decide)

    async def create(self, command: CreateIncident) -> Incident:
        """Reports an incident by hand."""
        incident_id = IncidentId(self._new_id("inc"))
        decided = editing.create(command, incident_id, self._now())
        return await self._committed(command, None, decided)

    async def resolve(self, command: ResolveIncident) -> Incident:
        """Any open status → resolved; what helped must be in the dossier."""
        guild_id = command.context.caller.guild_id
        before = await self._store.get(guild_id, command.incident_id)
        check_version(before, command.expected_version)
        decided = lifecycle.resolve(before, command, self._now())
        if command.helped and decided[1]:
            shown = await self._store.dossier(guild_id, command.incident_id)
            dossier.check_shown(shown, command.helped)
        return await self._committed(command, before, decided)

    def _by(
        self, decide: Callable[[Incident, CommandT, datetime], Decided]
    ) -> Callable[[CommandT], Awaitable[Incident]]:
        """The handler of a command that one pure function decides on one incident."""

        async def handle(command: CommandT) -> Incident:
            before = await self._store.get(command.context.caller.guild_id, command.incident_id)
            check_version(before, command.expected_version)
            return await self._committed(command, before, decide(before, command, self._now()))

        return handle

    async def _committed(
        self, command: Command[Incident], before: Incident | None, decided: Decided
    ) -> Incident:
        incident, events = decided
        if not events:
            return incident
        change = self._change(before, decided)
        assert isinstance(change.record, Incident)  # noqa: S101  # an incident's change is of one
        await self._store.commit(command, change.record, change)
        return change.record

    def _change(self, before: Incident | None, decided: Decided) -> Change:
        incident, events = decided
        version_before = 0 if before is None else before.version
        change = Change(record=incident, version_before=version_before, events=events)
        return escalation.timed(change, before, self._settings, self._now())

    # --- Reviews ------------------------------------------------------------------------------

    async def draft_review(self, command: DraftReview) -> Review:
        """Drafts the review of a resolved incident, or answers the one it has."""
        incident = await self._store.get(command.context.caller.guild_id, command.incident_id)
        check_version(incident, command.expected_version)
        before = await self._store.review(incident.guild_id, incident.incident_id)
        drafted, change = await self._drafted(incident, before, command)
        if change is not None:
            await self._store.commit(command, drafted, change)
        return drafted

    async def edit_review(self, command: EditReview) -> Review:
        """Changes sections of a draft."""
        before = await self._review_of(command.context.caller.guild_id, command.incident_id)
        check_version(before, command.expected_version)
        after, events = review.edit(before, command, self._now())
        if events:
            change = Change(record=after, version_before=before.version, events=events)
            await self._store.commit(command, after, change)
        return after

    async def publish_review(self, command: PublishReview) -> Review:
        """Makes the review final and closes its incident, in one transaction."""
        guild_id = command.context.caller.guild_id
        incident = await self._store.get(guild_id, command.incident_id)
        before = await self._review_of(guild_id, command.incident_id)
        check_version(before, command.expected_version)
        after = review.publish(incident, before, command, self._now())
        changes = (
            Change(record=after.review, version_before=before.version, events=after.review_events),
            Change(
                record=after.incident,
                version_before=incident.version,
                events=after.incident_events,
            ),
        )
        if written := [change for change in changes if change.events]:
            await self._store.commit(command, after.review, *written)
        return after.review

    # --- Questions ----------------------------------------------------------------------------

    async def get(self, query: GetIncident) -> Incident:
        """One incident, now or at an earlier version, if it is open to the caller."""
        caller = query.context.caller
        found = await self._store.get(caller.guild_id, query.incident_id, query.version)
        if found.access_level not in access.shared_with(caller):
            raise NotFound("incident", query.incident_id)
        return found

    async def list_incidents(self, query: ListIncidents) -> IncidentPage:
        """A page of incidents, latest first. All are protected: guests get an empty one."""
        limit = paging.checked_limit(query.limit)
        after = paging.after_cursor(query.cursor)
        if access.is_guest(query.context.caller):
            return IncidentPage(items=(), next_cursor=None)
        found = await self._store.page(query, after)
        return IncidentPage(
            items=tuple(found),
            next_cursor=paging.cursor_behind(found[-1]) if len(found) == limit else None,
        )

    async def list_alerts(self, query: ListAlerts) -> AlertPage:
        """A page of an incident's alerts, by fingerprint."""
        limit = paging.checked_limit(query.limit)
        after = paging.after_fingerprint(query.cursor)
        incident = await self.get(GetIncident(context=query.context, incident_id=query.incident_id))
        found = await self._store.alerts(incident.guild_id, incident.incident_id, after, limit)
        return AlertPage(
            items=tuple(found),
            next_cursor=paging.encode([found[-1].fingerprint]) if len(found) == limit else None,
        )

    async def get_timeline(self, query: GetTimeline) -> Timeline:
        """What happened under the incident's correlation id."""
        incident = await self.get(GetIncident(context=query.context, incident_id=query.incident_id))
        limit = self._settings.timeline_limit
        events = await self._store.events(incident.guild_id, incident.correlation_id, limit + 1)
        return Timeline(
            incident_id=incident.incident_id,
            entries=timeline.entries(events[:limit]),
            complete=len(events) <= limit,
        )

    async def get_dossier(self, query: GetDossier) -> Dossier:
        """The dossier, once it is ready."""
        caller = query.context.caller
        found = await self._store.dossier(caller.guild_id, query.incident_id)
        if found is None or access.is_guest(caller):
            raise NotFound("dossier", query.incident_id)
        return found

    async def get_review(self, query: GetReview) -> Review:
        """The review, once it is drafted."""
        caller = query.context.caller
        if access.is_guest(caller):
            raise NotFound("review", query.incident_id)
        return await self._review_of(caller.guild_id, query.incident_id)

    # --- What other sages' events, and our own, make us do --------------------------------------

    async def deliver(self, command: DeliverEvent) -> None:
        """Handles one event of one subscription."""
        match command.subscription:
            case "incident.dossier":
                await self._compile_dossier(await self._of(command), command)
            case "incident.review":
                await self._draft_after_end(await self._of(command), command)
            case "incident.escalation":
                await self._escalate(command)
            case _:
                raise LookupError(f"no subscription {command.subscription} here")

    async def _of(self, command: DeliverEvent) -> Incident:
        incident_id = IncidentId(command.event.aggregate_id)
        return await self._store.get(command.context.caller.guild_id, incident_id)

    async def _escalate(self, command: DeliverEvent) -> None:
        fired = command.event.payload
        if not isinstance(fired, TimerFired) or fired.name != escalation.TIMER:
            return  # somebody else's timer
        incident_id = IncidentId(str(fired.data.get("incident_id")))
        try:
            before = await self._store.get(command.event.guild_id, incident_id)
        except NotFound:
            return  # not one of ours, whatever it is called
        decided = escalation.escalate(before, fired, self._settings, self._now())
        if decided[1]:
            await self._store.commit(command, None, self._change(before, decided))

    async def _compile_dossier(self, incident: Incident, command: DeliverEvent) -> None:
        findings = await self._evidence.find(incident, command)
        before = await self._store.dossier(incident.guild_id, incident.incident_id)
        compiled, events = dossier.compiled(
            incident,
            findings,
            before,
            max_steps=self._settings.max_runbook_steps,
            now=self._now(),
        )
        if events:
            version_before = 0 if before is None else before.version
            change = Change(record=compiled, version_before=version_before, events=events)
            await self._store.commit(command, None, change)

    async def _draft_after_end(self, incident: Incident, command: DeliverEvent) -> None:
        if incident.status not in (Status.RESOLVED, Status.CLOSED):
            return  # it was reopened meanwhile; its next end is an event of its own
        before = await self._store.review(incident.guild_id, incident.incident_id)
        _, change = await self._drafted(incident, before, command)
        if change is not None:
            await self._store.commit(command, None, change)

    async def _drafted(
        self, incident: Incident, before: Review | None, cause: Command[Any]
    ) -> tuple[Review, Change | None]:
        entries = await self._entries(incident)
        by = cause.context.caller.principal_id
        after, events = review.draft(incident, entries, before, by=by, now=self._now())
        if not events:
            return after, None
        version_before = 0 if before is None else before.version
        return after, Change(record=after, version_before=version_before, events=events)

    async def _entries(self, incident: Incident) -> tuple[TimelineEntry, ...]:
        limit = self._settings.timeline_limit
        events = await self._store.events(incident.guild_id, incident.correlation_id, limit)
        return timeline.entries(events)

    async def _review_of(self, guild_id: GuildId, incident_id: IncidentId) -> Review:
        found = await self._store.review(guild_id, incident_id)
        if found is None:
            raise NotFound("review", incident_id)
        return found
