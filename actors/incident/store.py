"""What the Incident sage needs kept."""

from collections.abc import Callable, Sequence
from typing import Protocol

from actors.events import StoredEvent
from actors.incident.domain.change import Change
from actors.incident.domain.intake import Intake, Known
from actors.incident.domain.paging import After
from actors.incident.messages import (
    Alert,
    AlertsAccepted,
    Dossier,
    Incident,
    IncidentId,
    ListIncidents,
    ReceiveAlerts,
    Review,
)
from actors.runtime.message import Command, GuildId, ReplyT


class IncidentStore(Protocol):
    """Incidents and what belongs to them, one guild at a time."""

    async def get(
        self, guild_id: GuildId, incident_id: IncidentId, version: int | None = None
    ) -> Incident:
        """The incident as it is, or as it was at ``version``.

        Raises:
            NotFound: this guild has no such incident, or it never came to that version.
        """
        ...

    async def page(self, query: ListIncidents, after: After | None) -> Sequence[Incident]:
        """At most ``query.limit`` incidents, latest detected first, behind ``after``."""
        ...

    async def alerts(
        self, guild_id: GuildId, incident_id: IncidentId, after: str, limit: int
    ) -> Sequence[Alert]:
        """At most ``limit`` alerts of the incident with fingerprints above ``after``."""
        ...

    async def events(
        self, guild_id: GuildId, correlation_id: str, limit: int
    ) -> Sequence[StoredEvent]:
        """The first ``limit`` events of a correlation, oldest first."""
        ...

    async def dossier(self, guild_id: GuildId, incident_id: IncidentId) -> Dossier | None: ...

    async def review(self, guild_id: GuildId, incident_id: IncidentId) -> Review | None: ...

    async def commit(self, cause: Command[ReplyT], reply: ReplyT, *changes: Change) -> None:
        """Writes records, their events and the command's reply in one transaction.

        Raises:
            AlreadyHandled: the command took effect before.
            InvalidTransition: the incident would be the second open one of its correlation key.
            VersionConflict: a record is not at its ``version_before`` any more.
        """
        ...

    async def receive(
        self, command: ReceiveAlerts, decide: Callable[[Known], Intake]
    ) -> AlertsAccepted:
        """Loads, decides and writes in one transaction that keeps others off the same group.

        ``decide`` must be pure. Answers its reply.

        Raises:
            AlreadyHandled: the command took effect before.
            VersionConflict: a notification of another group spoke of the same alerts meanwhile.
        """
        ...
