"""An answer in the sources' own words, or none. Pure."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from actors.rag import passages
from actors.rag.messages import Citation, Hit

_SENTENCE = re.compile(
    r"[^\s].*?(?:[.!?](?=\s|$)|[\u3002\uff01\uff1f]|\n(?=\s*(?:[-*#>|]|\d+[.)]|\n|$))|$)", re.S
)
_MIN_WORDS = 3
_MAX_QUOTE = 600
MIN_COVERAGE = 0.5  # of what is rare in the question, in the best passage
MIN_COSINE = 0.45


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of a passage; ``start`` counts from the beginning of the source's text."""

    hit: Hit
    text: str
    start: int
    score: float


def grounded(hits: Sequence[Hit], coverage: Callable[[str], float]) -> bool:
    """Whether the best passages speak of the question at all: both legs must say so.

    Either leg alone does not tell an answerable question from another.
    """
    return any(
        coverage(f"{hit.title} {hit.heading} {hit.text}") >= MIN_COVERAGE
        and (hit.legs["dense"].score if "dense" in hit.legs else 0.0) >= MIN_COSINE
        for hit in hits
    )


def quotes(hits: Sequence[Hit], coverage: Callable[[str], float], limit: int) -> tuple[Quote, ...]:
    """The sentences that say most of what was asked, best first, none of them twice."""
    found: dict[str, Quote] = {}
    for hit in hits:
        for start, text in _sentences(hit.text):
            score = hit.score * (0.2 + 0.8 * coverage(text))
            if text not in found or found[text].score < score:
                found[text] = Quote(hit, text, hit.char_start + start, score)
    best = sorted(found.values(), key=lambda quote: -quote.score)[:limit]
    return tuple(quote for quote in best if quote.score > 0)


def cite(quote: Quote, texts: Mapping[tuple[str, int], str | None]) -> Citation | None:
    """The citation of a quote that stands, character for character, where it says; else None.

    Args:
        quote: what is cited.
        texts: the stored text by source id and version; None where it is no longer kept.
    """
    end = quote.start + len(quote.text)
    text = texts.get((quote.hit.id, quote.hit.version))
    if text is None or text[quote.start : end] != quote.text:
        return None
    return Citation(
        source_type=quote.hit.type,
        source_id=quote.hit.id,
        version=quote.hit.version,
        chunk_id=quote.hit.chunk_id,
        char_start=quote.start,
        char_end=end,
        quote=quote.text,
        sha256=hashlib.sha256(quote.text.encode()).hexdigest(),
        score=round(quote.score, 4),
        verified=True,
    )


def coverage_of(
    terms: Callable[[str], Sequence[str]], rarity: Mapping[str, float]
) -> Callable[[str], float]:
    """How much of what is rare in the question stands in a text: 0 to 1."""
    total = sum(rarity.values())

    def measure(text: str) -> float:
        if total == 0:
            return 0.0
        present = set(terms(text))
        return sum(weight for term, weight in rarity.items() if term in present) / total

    return measure


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    for found in _SENTENCE.finditer(text):
        sentence = found[0].rstrip()
        if len(sentence) <= _MAX_QUOTE and passages.count_words(sentence) >= _MIN_WORDS:
            yield found.start(), sentence
