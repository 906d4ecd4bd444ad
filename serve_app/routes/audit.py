"""The audit log, for administrators."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from serve_app.access import API
from serve_app.call import Current
from serve_app.route import new_router
from serve_app.schemas.audit import AuditFilter, AuditLogView, audit_view

router = new_router()
_ALL = f"{API}/audit"


@router.get(_ALL, response_model=AuditLogView)
async def list_audit(call: Current, which: Annotated[AuditFilter, Query()]) -> Response:
    """Lists who did what and who was refused what, newest first, with the hashes of the chain."""
    page = await call.ask("bus", which.to_message(call.context))
    return call.page(audit_view(page), _ALL, page.next_cursor)
