"""What in the index speaks about an incident, how well, and why. No I/O.

A line is *strong* for one of three reasons, and for no other:

- a runbook link of the alert points at it;
- it carries the alert's own name (case and separators aside);
- it is not the page of another alert, and both legs agree: most of what is rare in the question
  stands in it, and its meaning is near.

Everything else is a hint. A page that is kept for another alert is never strong by its words
alone: sibling alerts share nearly all of them and need different hands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actors.events import Evidence
from actors.index import names
from actors.index.guild import Found, GuildIndex
from actors.index.passage import Selection, Source, Vector
from actors.rag.messages import FindEvidence

MIN_COVERAGE = 0.6  # share of the question's rarity that stands in the source
MIN_COSINE = 0.7  # of its best passage
_HINT_COVERAGE = 0.25
_HINT_COSINE = 0.35
_DENSE_WEIGHT = 0.6  # an alert's words are a page's own more often than a person's are
_EXCERPT = 280
_PASSAGES = 120  # fused passages that are looked at for the best sources
_JUDGED = 3  # sources that are judged, for each line that is wanted
_DONE = frozenset({"completed", "cancelled"})

# Labels that name one machine, one moment or the bookkeeping of the alert: two incidents of the
# same trouble differ in them.
_PASSING_LABELS = frozenset(
    {"alertname", "severity", "instance", "pod", "pod_ip", "node", "host", "hostname", "endpoint"}
    | {"replica", "prometheus", "uid", "id", "container_id", "job_name", "le", "quantile"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An incident as search asks for it.

    Attributes:
        words: for the lexical leg.
        meaning: for the embedder; without labels, which are no sentence.
    """

    incident_id: str
    words: str
    meaning: str
    names: frozenset[str]
    links: frozenset[str]
    labels: frozenset[tuple[str, str]] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class _Match:
    source: Source
    excerpt: str
    score: float
    strong: bool
    reasons: tuple[str, ...]

    def line(self) -> Evidence:
        return Evidence(
            source_type=self.source.type,
            source_id=self.source.source_id,
            external_id=self.source.external_id,
            title=self.source.title,
            excerpt=self.excerpt,
            score=round(self.score, 4),
            strong=self.strong,
            reasons=self.reasons,
        )


@dataclass(frozen=True, slots=True)
class Lines:
    """Evidence of the three kinds, best first."""

    similar: tuple[Evidence, ...]
    runbooks: tuple[Evidence, ...]
    open_work: tuple[Evidence, ...]

    @property
    def runbook(self) -> Evidence | None:
        """The best runbook with strong evidence."""
        return next((line for line in self.runbooks if line.strong), None)


def question(query: FindEvidence, max_chars: int) -> Question:
    """What to ask the index about an incident; of long texts only the beginning."""
    labels = {(name, value) for name, value in query.labels.items() if name not in _PASSING_LABELS}
    sentence = [*query.alert_names, query.title]
    if query.description and query.description != query.title:
        sentence.append(query.description)
    keys = {names.key(name) for name in query.alert_names}
    links = {key for url in query.runbook_urls for key in names.url_keys(url)}
    return Question(
        incident_id=query.incident_id,
        words=" ".join(dict.fromkeys([*sentence, *query.affected_systems]))[:max_chars],
        meaning="\n".join(dict.fromkeys(sentence))[:max_chars],
        names=frozenset(keys - {""}),
        links=frozenset(links),
        labels=frozenset(labels),
    )


def gather(
    index: GuildIndex,
    asked: Question,
    vector: Vector | None,
    limit: int,
    hidden: frozenset[str] = frozenset(),
) -> Lines:
    """The best evidence of each kind.

    Args:
        index: of the incident's guild.
        asked: see `question`.
        vector: embedding of ``asked.meaning``; None where the embedder does not answer: the
            words are enough to go on.
        limit: lines of each kind.
        hidden: ids of sources that have left and may still be in the index.
    """
    others = hidden | {asked.incident_id}
    unfinished = index.statuses("task") - _DONE
    kinds = {
        "similar": Selection(types=frozenset({"incident", "knowledge"}), exclude=others),
        "runbooks": Selection(
            types=frozenset({"document"}), kinds=frozenset({"runbook"}), exclude=hidden
        ),
        "open_work": Selection(types=frozenset({"task"}), statuses=unfinished, exclude=hidden),
    }
    if not unfinished:
        del kinds["open_work"]
    found = {name: _lines(index, asked, vector, which, limit) for name, which in kinds.items()}
    return Lines(found["similar"], found["runbooks"], found.get("open_work", ()))


def _lines(
    index: GuildIndex, asked: Question, vector: Vector | None, selection: Selection, limit: int
) -> tuple[Evidence, ...]:
    findings = index.search(
        asked.words, vector, selection=selection, limit=_PASSAGES, dense_weight=_DENSE_WEIGHT
    )
    best: dict[str, list[Found]] = {}
    for found in findings.found:
        if found.source.source_id in best or len(best) < _JUDGED * limit:
            best.setdefault(found.source.source_id, []).append(found)
    for source in index.named(asked.names | asked.links, selection):
        best.setdefault(source.source_id, [])
    measure = _coverage_of(index, asked.words)
    matches = [_judge(index, asked, source_id, hits, measure) for source_id, hits in best.items()]
    matches.sort(key=lambda match: (-match.score, match.source.source_id))
    shown = [match for match in matches if match.reasons]
    return tuple(match.line() for match in shown[:limit])


def _judge(
    index: GuildIndex,
    asked: Question,
    source_id: str,
    hits: Sequence[Found],
    coverage_of: Callable[[str], float],
) -> _Match:
    source = index.source(source_id)
    assert source is not None  # noqa: S101  # it was found in this index a moment ago
    passages = [hit.passage for hit in hits] or index.passages_of(source_id)
    excerpt = _excerpt(passages[0].text) if passages else source.title
    coverage = coverage_of(source_id)
    cosine = max((hit.dense.score for hit in hits if hit.dense is not None), default=0.0)
    fused = hits[0].score if hits else 0.0
    called = names.keys(source)
    reasons: list[str] = []
    if called & asked.links:
        reasons.append("the alert links to it")
    if called & asked.names:
        reasons.append("it carries the alert's name")
    named = bool(reasons)
    shared = sorted(asked.labels & set(source.labels.items()))
    if shared:
        reasons.append("same " + ", ".join(f"{name}={value}" for name, value in shared[:3]))
    agreed = coverage >= MIN_COVERAGE and cosine >= MIN_COSINE
    if agreed:
        reasons.append("its words and its meaning are near")
    elif coverage >= _HINT_COVERAGE or cosine >= _HINT_COSINE:
        reasons.append("it reads alike")
    strong = named or (agreed and (not asked.names or not names.names_one_alert(source)))
    share = len(shared) / len(asked.labels) if asked.labels else 0.0
    score = _score(source, named, share, fused, (coverage + cosine) / 2)
    return _Match(source, excerpt, score, strong, tuple(reasons))


def _score(source: Source, named: bool, labels: float, fused: float, likeness: float) -> float:
    """0 to 1: what carries the name stands above what only reads alike.

    Among equals of the same name, what somebody wrote down to be learned from comes first.
    """
    if named:
        learned = source.type == "knowledge"
        return 0.7 + 0.1 * learned + 0.1 * labels + 0.1 * fused
    return 0.7 * (0.6 * fused + 0.25 * min(likeness, 1.0) + 0.15 * labels)


def _coverage_of(index: GuildIndex, words: str) -> Callable[[str], float]:
    """How much of what is rare in the words stands in a source: 0 to 1."""
    wanted = [term for term in index.terms(words) if not term.isdigit()]
    rarity = index.rarity(wanted)
    total = sum(rarity.values())

    def measure(source_id: str) -> float:
        source = index.source(source_id)
        if source is None or total == 0:
            return 0.0
        passages = index.passages_of(source_id)
        text = " ".join(
            [source.title, *source.names, *(p.heading + " " + p.text for p in passages)]
        )
        present = set(index.terms(text))
        return sum(weight for term, weight in rarity.items() if term in present) / total

    return measure


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _EXCERPT else flat[: _EXCERPT - 1].rsplit(" ", 1)[0] + "…"
