"""The audit log over HTTP."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from actors.audit import AuditOutcome
from actors.bus.messages import AuditPage, ListAudit
from actors.runtime.message import Context
from serve_app.schemas.common import Paging
from serve_app.strict import Line, Moment, Shown, View


class AuditFilter(Paging):
    """Which entries are listed; nothing given: all."""

    actor: Annotated[Line, Field(max_length=200)] | None = None
    action: Annotated[Line, Field(max_length=100)] | None = None
    outcome: Literal["success", "failure", "denied"] | None = None
    since: Moment | None = Field(default=None, description="recorded then or later")
    until: Moment | None = Field(default=None, description="recorded before")

    def to_message(self, context: Context) -> ListAudit:
        """The question."""
        return ListAudit(
            context=context,
            actor=self.actor,
            action=self.action,
            outcome=None if self.outcome is None else AuditOutcome(self.outcome),
            since=self.since,
            until=self.until,
            limit=self.limit,
            cursor=self.cursor,
        )


class AuditEntryView(View):
    """One entry. ``hash`` covers all of it and ``prev_hash``, which is that of the entry before."""

    number: int
    at: Shown
    actor: str
    action: str
    entity_type: str
    entity_id: str
    outcome: Literal["success", "failure", "denied"]
    request_id: str
    correlation_id: str
    details: dict[str, Any]
    prev_hash: str
    hash: str


class AuditLogView(View):
    """A page of the audit log, newest first."""

    items: tuple[AuditEntryView, ...]
    next_cursor: str | None


def audit_view(page: AuditPage) -> AuditLogView:
    """The page as it is shown."""
    items = [
        AuditEntryView(**{**asdict(one), "details": orjson.loads(one.details)})
        for one in page.entries
    ]
    return AuditLogView(items=tuple(items), next_cursor=page.next_cursor)
