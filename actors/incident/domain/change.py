"""The outcome of a decision: a record's next state, and the events that say how it came about."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from actors.errors import VersionConflict
from actors.events import Payload
from actors.incident.messages import Dossier, Incident, Review

Record: TypeAlias = Incident | Dossier | Review


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A durable timer that an incident waits for."""

    timer_id: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record to be written, together with its events.

    Attributes:
        version_before: what the store must still hold; 0: the record is new.
        events: never empty; ``record.version`` is ``version_before + len(events)``.
        alarm: a timer to be set.
        cancelled_alarm: id of one that is not waited for any more; it may have fired.
    """

    record: Record
    version_before: int
    events: tuple[Payload, ...]
    alarm: Alarm | None = None
    cancelled_alarm: str | None = None

    @property
    def record_id(self) -> str:
        """The aggregate that the events are of."""
        match self.record:
            case Incident():
                return self.record.incident_id
            case Dossier():
                return self.record.dossier_id
            case Review():
                return self.record.review_id


def check_version(record: Incident | Review, expected: int | None) -> None:
    """Refuses a caller who decided on an older state.

    Raises:
        VersionConflict: ``expected`` is given and is not the record's version.
    """
    if expected is not None and expected != record.version:
        kind = "incident" if isinstance(record, Incident) else "review"
        raise VersionConflict(kind, record.incident_id)
