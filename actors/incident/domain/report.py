"""A review as Markdown: the text that is learned from it, and found by the next incident."""

from collections.abc import Iterator
from datetime import datetime

from actors.events import ReviewAction
from actors.incident.messages import Incident, Review

_UNKNOWN = "Not known."


def markdown(incident: Incident, review: Review) -> str:
    """The whole review; alert names and labels stand in it so that words alone find it."""
    return "\n\n".join(_blocks(incident, review)) + "\n"


def _blocks(incident: Incident, review: Review) -> Iterator[str]:
    yield f"# {review.title}"
    yield "\n".join(_facts(incident))
    yield f"## Summary\n\n{review.summary or _UNKNOWN}"
    yield f"## Impact\n\n{review.impact or _UNKNOWN}"
    yield f"## Root cause\n\n{review.root_cause or _UNKNOWN}"
    yield f"## Resolution\n\n{review.resolution or _UNKNOWN}"
    if review.lessons:
        yield f"## Lessons\n\n{review.lessons}"
    if review.actions:
        yield "## Actions\n\n" + "\n".join(_action(action) for action in review.actions)
    if review.timeline:
        lines = (f"- {_time(entry.at)} {entry.text}" for entry in review.timeline)
        yield "## Timeline\n\n" + "\n".join(lines)


def _facts(incident: Incident) -> Iterator[str]:
    yield f"- Incident: {incident.incident_id}"
    yield f"- Severity: {incident.severity}"
    yield f"- Detected: {_time(incident.detected_at)}"
    if incident.resolved_at is not None:
        yield f"- Resolved: {_time(incident.resolved_at)}"
    if incident.affected_systems:
        yield f"- Affected systems: {', '.join(incident.affected_systems)}"
    if incident.alert_names:
        yield f"- Alerts: {', '.join(incident.alert_names)}"
    if incident.labels:
        labels = ", ".join(f"`{name}={value}`" for name, value in incident.labels.items())
        yield f"- Labels: {labels}"


def _action(action: ReviewAction) -> str:
    details = []
    if action.owner:
        details.append(f"owner {action.owner}")
    if action.due_at:
        details.append(f"due {action.due_at.date().isoformat()}")
    return f"- {action.title}" + (f" ({', '.join(details)})" if details else "")


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ")
