"""What an incident is called and how bad it is, read from its alerts."""

from collections.abc import Iterable, Mapping, Sequence

from actors.incident.messages import TITLE_MAX, Alert, Severity

UNNAMED = "unnamed alert"
NAMES_MAX = 50
"""Alert names, systems and runbook links that an incident keeps of each."""

_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "error": Severity.HIGH,
    "high": Severity.HIGH,
    "page": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "info": Severity.INFO,
    "none": Severity.INFO,
}
_SYSTEM_LABELS = ("service", "app", "application", "component", "job")
_RUNBOOK_ANNOTATIONS = ("runbook_url", "runbook")
_SUMMARY_ANNOTATIONS = ("summary", "message", "title")


def alert_name(labels: Mapping[str, str]) -> str:
    """The alert's name."""
    return labels.get("alertname") or UNNAMED


def severity_of(labels: Mapping[str, str]) -> Severity:
    """The ``severity`` label in our words; what we do not know is medium."""
    return _SEVERITIES.get(labels.get("severity", "").strip().lower(), Severity.MEDIUM)


def worst(alerts: Iterable[Alert]) -> Severity:
    """The highest severity among at least one alert."""
    return max((severity_of(alert.labels) for alert in alerts), key=lambda found: found.rank)


def summary_of(annotations: Mapping[str, str]) -> str:
    """The alert in one line, in its author's words; empty where there are none."""
    return next((annotations[name] for name in _SUMMARY_ANNOTATIONS if annotations.get(name)), "")


def title_of(alerts: Sequence[Alert], common_annotations: Mapping[str, str]) -> str:
    """Names and a summary: ``DiskFull and 2 more: 3 % left on db-1``."""
    names = names_of(alerts)
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    summary = summary_of(common_annotations) or summary_of(alerts[0].annotations)
    if not summary:
        systems = systems_of(alerts)
        summary = f"on {', '.join(systems[:3])}" if systems else ""
    return cut(" ".join(f"{name}: {summary}".strip(": ").split()), TITLE_MAX)


def description_of(alerts: Sequence[Alert], common_annotations: Mapping[str, str]) -> str:
    """The annotations' description, or that of the first alert that has one."""
    candidates = (common_annotations, *(alert.annotations for alert in alerts))
    return next((found["description"] for found in candidates if found.get("description")), "")


def common_labels(alerts: Sequence[Alert]) -> dict[str, str]:
    """The labels that all of these alerts share."""
    shared = set(alerts[0].labels.items())
    for alert in alerts[1:]:
        shared &= alert.labels.items()
    return dict(sorted(shared))


def names_of(alerts: Iterable[Alert], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Distinct alert names, those of ``before`` first."""
    return _distinct((*before, *(alert.name for alert in alerts)))


def systems_of(alerts: Iterable[Alert], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Distinct names of the systems that the labels point to, those of ``before`` first."""
    found = (alert.labels.get(label, "") for alert in alerts for label in _SYSTEM_LABELS)
    return _distinct((*before, *found))


def runbooks_of(alerts: Iterable[Alert], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Distinct links to runbooks, those of ``before`` first."""
    found = (alert.annotations.get(name, "") for alert in alerts for name in _RUNBOOK_ANNOTATIONS)
    return _distinct((*before, *found))


def cut(text: str, length: int) -> str:
    """At most ``length`` characters; an ellipsis stands for the rest."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))[:NAMES_MAX]
