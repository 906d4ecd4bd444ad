"""The post-incident review: drafted from the timeline, edited by people, published as knowledge."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from actors.clock import derived_id
from actors.errors import InvalidTransition, ValidationError
from actors.events import IncidentUpdated, Payload, ReviewAction, ReviewDrafted, ReviewPublished
from actors.incident.domain import lifecycle, naming
from actors.incident.domain.editing import required
from actors.incident.domain.report import markdown
from actors.incident.messages import (
    TITLE_MAX,
    EditReview,
    Incident,
    PublishReview,
    Review,
    ReviewId,
    ReviewStatus,
    Status,
    TimelineEntry,
)

Decided: TypeAlias = tuple[Review, tuple[Payload, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The review and its incident after publication; no events: that one stays as it was."""

    review: Review
    review_events: tuple[Payload, ...]
    incident: Incident
    incident_events: tuple[Payload, ...]


def draft(
    incident: Incident,
    timeline: tuple[TimelineEntry, ...],
    before: Review | None,
    *,
    by: str,
    now: datetime,
) -> Decided:
    """Fills a review from what is known, once for each time that the incident was resolved.

    Drafting again after a reopening keeps the sections that people wrote. A final review stays.

    Raises:
        InvalidTransition: the incident is not over.
    """
    if incident.status not in (Status.RESOLVED, Status.CLOSED):
        raise InvalidTransition("incident", incident.status, "reviewed")
    if before is None:
        before = _empty(incident, by=by, now=now)
    elif before.status is ReviewStatus.FINAL or _is_of_this_end(before, incident):
        return before, ()
    filled = _filled(incident, timeline)
    kept = {name: text for name, text in filled.items() if name not in before.edited}
    event = ReviewDrafted(incident_id=incident.incident_id, review_id=before.review_id)
    return _changed(before, (event,), by=by, now=now, drafted_at=now, **kept)


def edit(review: Review, command: EditReview, now: datetime) -> Decided:
    """Changes sections of a draft.

    Raises:
        InvalidTransition: the review is final.
        ValidationError: title or an action is not acceptable.
    """
    if review.status is ReviewStatus.FINAL:
        raise InvalidTransition("review", review.status, "edited")
    named: dict[str, Any] = {
        "title": None if command.title is None else _title(command.title),
        "summary": command.summary,
        "impact": command.impact,
        "root_cause": command.root_cause,
        "resolution": command.resolution,
        "lessons": command.lessons,
        "actions": None if command.actions is None else _actions(command.actions),
    }
    fields = {
        name: value
        for name, value in named.items()
        if value is not None and value != getattr(review, name)
    }
    if not fields:
        return review, ()
    event = IncidentUpdated(
        incident_id=review.incident_id, fields=tuple(f"review.{name}" for name in fields)
    )
    edited = tuple(dict.fromkeys((*review.edited, *fields)))
    by = command.context.caller.principal_id
    return _changed(review, (event,), by=by, now=now, edited=edited, **fields)


def publish(incident: Incident, review: Review, command: PublishReview, now: datetime) -> Published:
    """Draft → final, and the incident resolved → closed. Repeating it changes nothing.

    Raises:
        InvalidTransition: the incident is not resolved, or no longer.
    """
    if incident.status not in (Status.RESOLVED, Status.CLOSED):
        raise InvalidTransition("incident", incident.status, Status.CLOSED)
    by = command.context.caller.principal_id
    review_events: tuple[Payload, ...] = ()
    incident_events: tuple[Payload, ...] = ()
    if review.status is ReviewStatus.DRAFT:
        event = _published(incident, review, author_id=by)
        review, review_events = _changed(
            review,
            (event,),
            by=by,
            now=now,
            status=ReviewStatus.FINAL,
            author_id=by,
            published_at=now,
        )
    if incident.status is Status.RESOLVED:
        incident, incident_events = lifecycle.closed(incident, "reviewed", by=by, now=now)
    return Published(
        review=review,
        review_events=review_events,
        incident=incident,
        incident_events=incident_events,
    )


def _is_of_this_end(review: Review, incident: Incident) -> bool:
    return incident.resolved_at is not None and review.drafted_at >= incident.resolved_at


def _published(incident: Incident, review: Review, author_id: str) -> ReviewPublished:
    return ReviewPublished(
        incident_id=incident.incident_id,
        review_id=review.review_id,
        title=review.title,
        summary=review.summary,
        content=markdown(incident, review),
        author_id=author_id,
        severity=incident.severity,
        labels=dict(incident.labels),
        alert_names=incident.alert_names,
        tags=incident.tags,
        actions=review.actions,
    )


def _empty(incident: Incident, *, by: str, now: datetime) -> Review:
    review_id = derived_id("rev", incident.detected_at, incident.incident_id)
    return Review(
        review_id=ReviewId(review_id),
        guild_id=incident.guild_id,
        incident_id=incident.incident_id,
        correlation_id=incident.correlation_id,
        priority=incident.priority,
        status=ReviewStatus.DRAFT,
        version=0,
        title="",
        drafted_at=now,
        created_at=now,
        updated_at=now,
        updated_by=by,
    )


def _filled(incident: Incident, timeline: tuple[TimelineEntry, ...]) -> dict[str, Any]:
    steps = "".join(f"\n- {step}" for step in incident.resolution_steps)
    resolution = incident.resolution or "Every alert was resolved by its source."
    prevention = (line.strip("-* \t") for line in incident.prevention.splitlines())
    return {
        "title": naming.cut(f"Review: {incident.title}", TITLE_MAX),
        "summary": _summary(incident),
        "impact": incident.impact or _reach(incident),
        "timeline": timeline,
        "root_cause": incident.root_cause,
        "resolution": resolution + ("\n" + steps if steps else ""),
        "lessons": incident.lessons_learned,
        "actions": tuple(ReviewAction(title=line) for line in prevention if line),
    }


def _summary(incident: Incident) -> str:
    resolved_at = incident.resolved_at or incident.updated_at
    minutes = (resolved_at - incident.detected_at).total_seconds() / 60
    sentences = [
        f"{incident.title}.",
        f"Severity {incident.severity}, resolved by {incident.resolved_by} "
        f"{minutes:.0f} minutes after it was detected.",
    ]
    if incident.reopen_count:
        sentences.append(f"It was reopened {incident.reopen_count} times.")
    if incident.recurrence_of:
        sentences.append(f"It is a recurrence of {incident.recurrence_of}.")
    if incident.description:
        sentences.append(incident.description)
    return " ".join(sentences)


def _reach(incident: Incident) -> str:
    systems = ", ".join(incident.affected_systems) or "no system that was named"
    return f"Not stated. {incident.alert_count} alerts on {systems}."


def _changed(
    review: Review, events: tuple[Payload, ...], *, by: str, now: datetime, **fields: Any
) -> Decided:
    version = review.version + len(events)
    return replace(review, version=version, updated_at=now, updated_by=by, **fields), events


def _title(title: str) -> str:
    stripped = required("title", title)
    if len(stripped) > TITLE_MAX:
        raise ValidationError("title", f"has more than {TITLE_MAX} characters")
    return stripped


def _actions(actions: tuple[ReviewAction, ...]) -> tuple[ReviewAction, ...]:
    for action in actions:
        required("actions.title", action.title)
    return actions
