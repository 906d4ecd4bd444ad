"""The audit log: what is kept in it, and how its entries are chained. Pure.

Each entry's hash covers its content, its number and the hash before, so that nothing can be
changed, taken out or moved without the chain telling. A tail that was cut off is told by an anchor:
a number and its hash, kept somewhere else.
"""

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Self

from actors.events import (
    DocumentDeleted,
    Payload,
    PrincipalCreated,
    PrincipalUpdated,
    SessionEnded,
    SessionStarted,
)
from actors.runtime.message import Command, Context, Delivery, GuildId

GENESIS = "0" * 64
"""The hash before the first entry."""

AUDITED_EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "user.created": "principal",
        "user.updated": "principal",
        "user.disabled": "principal",
        "user.session.started": "session",
        "user.session.ended": "session",
        "sage.task.deleted": "task",
        "sage.knowledge.deleted": "knowledge",
        "sage.rag.document.deleted": "document",
        "system.subject.erased": "subject",
    }
)
"""Events that are also audited, in their own transaction, and what they are about."""

_ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")
_LONGEST = {"actor": 200, "entity_id": 500, "request_id": 200, "correlation_id": 200}


class AuditOutcome(enum.StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What somebody did, or tried to.

    Attributes:
        action: the event's type, where there is one; else as `serve_app.auditing` and the stores
            call it.
        actor: id of a user or client; never a login.
        details: a few short words; neither a payload nor a secret.
    """

    action: str
    actor: str
    entity_type: str = ""
    entity_id: str = ""
    outcome: AuditOutcome = AuditOutcome.SUCCESS
    request_id: str = ""
    correlation_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Texts that came from outside are cut to what the table takes."""
        for name, longest in _LONGEST.items():
            object.__setattr__(self, name, getattr(self, name)[:longest])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One entry as it is stored; ``details`` is the JSON text that was hashed."""

    number: int
    at: datetime
    actor: str
    action: str
    entity_type: str
    entity_id: str
    outcome: str
    request_id: str
    correlation_id: str
    details: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a chain stood: kept elsewhere, it tells of a tail that was cut off later."""

    number: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``NUMBER:HASH``.

        Raises:
            ValueError: it is nothing of the kind.
        """
        match = _ANCHOR.fullmatch(text)
        if match is None:
            raise ValueError("an anchor is NUMBER:HASH, as it was printed")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


class BrokenChain(Exception):
    """The log is not as it was written; ``number`` is of the first entry that is wrong."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number = number
        self.reason = reason

    def __str__(self) -> str:
        return f"entry {self.number} {self.reason}"


class Chain:
    """Checks a guild's entries one after the other, from the first; remembers only the last.

    Args:
        guild_id: whose.
        anchor: what must be found on the way.
    """

    def __init__(self, guild_id: GuildId, anchor: Anchor | None = None) -> None:
        self.head = Anchor(0, GENESIS)
        self._guild_id = guild_id
        self._anchor = anchor

    def add(self, record: AuditRecord) -> None:
        """The next entry.

        Raises:
            BrokenChain: it is not the one that was written here.
        """
        number = self.head.number + 1
        if record.number != number:
            raise BrokenChain(number, "is missing")
        if record.prev_hash != self.head.hash:
            raise BrokenChain(number, "does not follow the entry before it")
        if record.hash != digest(self._guild_id, record):
            raise BrokenChain(number, "was changed")
        self.head = Anchor(number, record.hash)
        if self._anchor not in (None, self.head) and self._anchored(number):
            raise BrokenChain(number, "is not the one of the anchor")

    def end(self, stored: Anchor) -> None:
        """There are no more entries; ``stored`` is what the database says the last one is.

        Raises:
            BrokenChain: there should be more.
        """
        reached = self.head.number
        if self._anchor is not None and self._anchor.number > reached:
            raise BrokenChain(reached + 1, f"is missing: the anchor is entry {self._anchor.number}")
        if stored.number > reached:
            raise BrokenChain(reached + 1, f"is missing: the last one is {stored.number}")
        if stored != self.head:
            raise BrokenChain(reached, "is not the one that the head of the chain names")

    def _anchored(self, number: int) -> bool:
        return self._anchor is not None and self._anchor.number == number


def digest(guild_id: GuildId, record: AuditRecord) -> str:
    """The hash that an entry must have: SHA-256 over its parts, each behind its length in bytes."""
    parts = (
        "audit-1",
        guild_id,
        str(record.number),
        record.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        record.actor,
        record.action,
        record.entity_type,
        record.entity_id,
        record.outcome,
        record.request_id,
        record.correlation_id,
        record.details,
        record.prev_hash,
    )
    hashed = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        hashed.update(b"%d:%b" % (len(encoded), encoded))
    return hashed.hexdigest()


def entry_by(
    context: Context,
    action: str,
    entity_type: str,
    entity_id: str,
    details: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """What the caller of a message did."""
    return AuditEntry(
        action=action,
        actor=context.caller.principal_id,
        entity_type=entity_type,
        entity_id=entity_id,
        request_id=context.causation_id or "",
        correlation_id=context.correlation_id,
        details=dict(details or {}),
    )


def entry_of(
    cause: Command[Any], aggregate_id: str, event_id: str, payload: Payload
) -> AuditEntry | None:
    """The entry of an event that is audited; None: it is not.

    What a sage does because it heard an event is not audited again: who caused that event was.
    """
    entity_type = AUDITED_EVENTS.get(payload.type)
    if entity_type is None or isinstance(cause, Delivery):
        return None
    entity_id = payload.source_id if isinstance(payload, DocumentDeleted) else aggregate_id
    details = {"event_id": event_id, **_details(payload)}
    return entry_by(cause.context, payload.type, entity_type, entity_id, details)


def _details(payload: Payload) -> Mapping[str, Any]:
    match payload:
        case PrincipalCreated(kind=kind, role=role):
            return {"kind": kind, "role": role}
        case PrincipalUpdated(fields=fields):
            return {"fields": list(fields)}
        case SessionStarted(principal_id=principal_id):
            return {"principal_id": principal_id}
        case SessionEnded(principal_id=principal_id, reason=reason):
            return {"principal_id": principal_id, "reason": reason}
        case _:
            return {}
