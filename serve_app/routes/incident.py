"""Incidents, from report to review."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors.incident.messages import (
    AcknowledgeIncident,
    AssessIncident,
    DraftReview,
    GetDossier,
    GetIncident,
    GetReview,
    GetTimeline,
    Incident,
    IncidentId,
    ListAlerts,
    PublishReview,
    Review,
)
from actors.runtime.message import Command
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import IncidentPath
from serve_app.route import new_router
from serve_app.schemas.common import Paging
from serve_app.schemas.incident import (
    AlertsView,
    AssignIn,
    CloseIn,
    CommunicateIn,
    DossierView,
    IncidentFilter,
    IncidentIn,
    IncidentPatch,
    IncidentsView,
    IncidentView,
    ReopenIn,
    ResolveIn,
    RespondIn,
    TimelineView,
)
from serve_app.schemas.review import ReviewPatch, ReviewView

router = new_router()
_ALL = f"{API}/incidents"
_ONE = f"{API}/incidents/{{incident_id}}"


async def _change(call: Call, command: Command[Incident], status: int = 200) -> Response:
    """Sends a command that answers the incident."""
    outcome = await call.tell("incident", command)
    incident = outcome.unwrap()
    return call.reply(
        IncidentView.model_validate(incident),
        status=status,
        version=incident.version,
        position=outcome.position,
        headers={"Location": f"{_ALL}/{incident.incident_id}"} if status == 201 else None,
    )


async def _review(call: Call, command: Command[Review], status: int = 200) -> Response:
    """Sends a command that answers the review."""
    outcome = await call.tell("incident", command)
    review = outcome.unwrap()
    return call.reply(
        ReviewView.model_validate(review),
        status=status,
        version=review.version,
        position=outcome.position,
    )


@router.get(_ALL, response_model=IncidentsView)
async def list_incidents(call: Current, which: Annotated[IncidentFilter, Query()]) -> Response:
    """Lists incidents, latest first."""
    page = await call.ask("incident", which.to_message(call.context))
    return call.page(IncidentsView.model_validate(page), _ALL, page.next_cursor)


@router.post(_ALL, response_model=IncidentView, status_code=201)
async def create_incident(call: Current, body: IncidentIn) -> Response:
    """Reports an incident by hand."""
    return await _change(call, body.to_message(call.origin), 201)


@router.get(_ONE, response_model=IncidentView)
async def get_incident(call: Current, incident_id: IncidentPath) -> Response:
    """Reads an incident."""
    query = GetIncident(context=call.context, incident_id=IncidentId(incident_id))
    incident = await call.ask("incident", query)
    return call.reply(IncidentView.model_validate(incident), version=incident.version)


@router.patch(_ONE, response_model=IncidentView)
async def update_incident(
    call: Current, incident_id: IncidentPath, body: IncidentPatch
) -> Response:
    """Changes fields of an incident."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.version)
    return await _change(call, command)


@router.post(_ONE + ":acknowledge", response_model=IncidentView)
async def acknowledge_incident(call: Current, incident_id: IncidentPath) -> Response:
    """Somebody has seen it."""
    command = AcknowledgeIncident(
        **call.origin,
        incident_id=IncidentId(incident_id),
        expected_version=call.expected_version,
    )
    return await _change(call, command)


@router.post(_ONE + ":assign", response_model=IncidentView)
async def assign_incident(call: Current, incident_id: IncidentPath, body: AssignIn) -> Response:
    """Gives it to somebody, or to the caller."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.expected_version)
    return await _change(call, command)


@router.post(_ONE + ":assess", response_model=IncidentView)
async def assess_incident(call: Current, incident_id: IncidentPath) -> Response:
    """Its severity and impact are being found out."""
    command = AssessIncident(
        **call.origin,
        incident_id=IncidentId(incident_id),
        expected_version=call.expected_version,
    )
    return await _change(call, command)


@router.post(_ONE + ":respond", response_model=IncidentView)
async def respond_incident(call: Current, incident_id: IncidentPath, body: RespondIn) -> Response:
    """It is being repaired."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.expected_version)
    return await _change(call, command)


@router.post(_ONE + ":communicate", response_model=IncidentView)
async def communicate(call: Current, incident_id: IncidentPath, body: CommunicateIn) -> Response:
    """Puts a stakeholder update on the timeline."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.expected_version)
    return await _change(call, command)


@router.post(_ONE + ":resolve", response_model=IncidentView)
async def resolve_incident(call: Current, incident_id: IncidentPath, body: ResolveIn) -> Response:
    """It is over."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.expected_version)
    return await _change(call, command)


@router.post(_ONE + ":reopen", response_model=IncidentView)
async def reopen_incident(call: Current, incident_id: IncidentPath, body: ReopenIn) -> Response:
    """It was not over."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.expected_version)
    return await _change(call, command)


@router.post(_ONE + ":close", response_model=IncidentView)
async def close_incident(call: Current, incident_id: IncidentPath, body: CloseIn) -> Response:
    """Closes a resolved incident without a review."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.expected_version)
    return await _change(call, command)


@router.get(_ONE + "/alerts", response_model=AlertsView)
async def list_alerts(
    call: Current, incident_id: IncidentPath, which: Annotated[Paging, Query()]
) -> Response:
    """Lists the alerts that belong to an incident."""
    query = ListAlerts(
        context=call.context,
        incident_id=IncidentId(incident_id),
        limit=which.limit,
        cursor=which.cursor,
    )
    page = await call.ask("incident", query)
    path = f"{_ALL}/{incident_id}/alerts"
    return call.page(AlertsView.model_validate(page), path, page.next_cursor)


@router.get(_ONE + "/timeline", response_model=TimelineView)
async def get_timeline(call: Current, incident_id: IncidentPath) -> Response:
    """Reads what happened, in all sages, oldest first."""
    query = GetTimeline(context=call.context, incident_id=IncidentId(incident_id))
    return call.reply(TimelineView.model_validate(await call.ask("incident", query)))


@router.get(_ONE + "/dossier", response_model=DossierView)
async def get_dossier(call: Current, incident_id: IncidentPath) -> Response:
    """Reads what the guild already knew: similar cases, runbooks, open work."""
    query = GetDossier(context=call.context, incident_id=IncidentId(incident_id))
    dossier = await call.ask("incident", query)
    return call.reply(DossierView.model_validate(dossier), version=dossier.version)


@router.get(_ONE + "/review", response_model=ReviewView)
async def get_review(call: Current, incident_id: IncidentPath) -> Response:
    """Reads the post-incident review."""
    query = GetReview(context=call.context, incident_id=IncidentId(incident_id))
    review = await call.ask("incident", query)
    return call.reply(ReviewView.model_validate(review), version=review.version)


@router.post(_ONE + "/review", response_model=ReviewView, status_code=201)
async def draft_review(call: Current, incident_id: IncidentPath) -> Response:
    """Drafts the review now, from the timeline; answers the one there is."""
    command = DraftReview(
        **call.origin,
        incident_id=IncidentId(incident_id),
        expected_version=call.expected_version,
    )
    return await _review(call, command, 201)


@router.patch(_ONE + "/review", response_model=ReviewView)
async def edit_review(call: Current, incident_id: IncidentPath, body: ReviewPatch) -> Response:
    """Writes sections of the draft; If-Match is the review's ETag."""
    command = body.to_message(call.origin, IncidentId(incident_id), call.version)
    return await _review(call, command)


@router.post(_ONE + "/review:publish", response_model=ReviewView)
async def publish_review(call: Current, incident_id: IncidentPath) -> Response:
    """Makes the review final, closes the incident, and has it written down as knowledge."""
    command = PublishReview(
        **call.origin,
        incident_id=IncidentId(incident_id),
        expected_version=call.expected_version,
    )
    return await _review(call, command)
