"""The dossier: what the guild already knew about an incident, kept with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from actors.clock import derived_id
from actors.errors import ValidationError
from actors.events import DossierReady, Evidence, Payload, RunbookStep
from actors.incident.messages import Dossier, Incident

Decided: TypeAlias = tuple[Dossier, tuple[Payload, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a search for an incident's evidence brought, best first in each list."""

    similar: tuple[Evidence, ...] = ()
    runbooks: tuple[Evidence, ...] = ()
    open_work: tuple[Evidence, ...] = ()
    runbook: Evidence | None = None
    steps: tuple[RunbookStep, ...] = ()


def compiled(
    incident: Incident, findings: Findings, before: Dossier | None, *, max_steps: int, now: datetime
) -> Decided:
    """The dossier with these findings; where it says so already, no event."""
    blank = before or _blank(incident, now)
    dossier = replace(
        blank,
        version=blank.version + 1,
        updated_at=now,
        similar=findings.similar,
        runbooks=findings.runbooks,
        open_work=findings.open_work,
        runbook=findings.runbook,
        steps=findings.steps[:max_steps],
    )
    if before is not None and _content(before) == _content(dossier):
        return before, ()
    event = DossierReady(
        incident_id=incident.incident_id,
        title=incident.title,
        priority=incident.priority,
        similar=dossier.similar,
        runbooks=dossier.runbooks,
        open_work=dossier.open_work,
        runbook=dossier.runbook,
        steps=dossier.steps,
    )
    return dossier, (event,)


def check_shown(dossier: Dossier | None, source_ids: Sequence[str]) -> None:
    """What is said to have helped must have been shown.

    Raises:
        ValidationError: something is not in the dossier, or there is none.
    """
    shown: set[str] = set()
    if dossier is not None:
        lines = (*dossier.similar, *dossier.runbooks, *dossier.open_work, dossier.runbook)
        shown = {line.source_id for line in lines if line is not None}
    if not shown.issuperset(source_ids):
        raise ValidationError("helped", "names what is not in the dossier")


def _blank(incident: Incident, now: datetime) -> Dossier:
    return Dossier(
        dossier_id=derived_id("dos", incident.detected_at, incident.incident_id),
        guild_id=incident.guild_id,
        incident_id=incident.incident_id,
        correlation_id=incident.correlation_id,
        priority=incident.priority,
        version=0,
        created_at=now,
        updated_at=now,
    )


def _content(dossier: Dossier) -> tuple[object, ...]:
    lists = (dossier.similar, dossier.runbooks, dossier.open_work)
    return (*lists, dossier.runbook, dossier.steps)
