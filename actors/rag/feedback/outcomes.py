"""An incident that was resolved, as a question and its answer. Pure."""

from actors.events import IncidentResolved, SourceType
from actors.rag.domain import Indexed
from actors.rag.messages import Filters

SUBSCRIPTION = "rag.outcomes"

_SIMILAR: frozenset[SourceType] = frozenset({"incident", "knowledge"})


def question(resolved: IncidentResolved, incident: Indexed | None, max_chars: int) -> str:
    """What was asked when nobody knew the answer yet: names of alerts, title and description.

    Args:
        resolved: the end of it.
        incident: as search knows it; its text begins with the description.
        max_chars: the rest is left out.
    """
    told = [resolved.title]
    if incident is not None:
        told = [*incident.names, resolved.title, incident.body.partition("\n\n")[0]]
    return "\n".join(dict.fromkeys(told))[:max_chars]


def filters(incident_id: str, source: Indexed) -> Filters:
    """Among what of its kind the source was shown in the dossier."""
    return Filters(
        types=_SIMILAR if source.type in _SIMILAR else frozenset({source.type}),
        kinds=frozenset({source.kind} if source.type == "document" else ()),
        exclude=frozenset({incident_id}),
    )
