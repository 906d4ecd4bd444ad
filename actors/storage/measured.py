"""How long statements take, by their verb; each is a span where it is traced."""

import time
from functools import lru_cache

from prometheus_client import Histogram

from actors import metrics
from actors.runtime import tracing

_VERBS = frozenset({"select", "insert", "update", "delete", "with", "commit"})
_STATEMENTS_KNOWN = 2_048
_SHOWN = 300  # characters of a statement; its values are parameters, and not shown


class Measured:
    """Around one statement; what is not one of the usual verbs is ``other``."""

    __slots__ = ("_begun", "_query", "_series", "_span")

    def __init__(self, query: str) -> None:
        self._query = query
        self._series = _series(query)
        self._begun = 0.0
        self._span: tracing.AnySpan | None = None

    def __enter__(self) -> None:
        if tracing.is_on():
            self._span = tracing.span("sql", tracing.Kind.CLIENT)
            if self._span is not tracing.NOTHING:  # most are not sampled
                self._span.note(**{"db.query.text": _shown(self._query)})
        self._begun = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._series.observe(time.perf_counter() - self._begun)
        if self._span is not None:
            if kind is not None:
                self._span.fail(kind.__name__)
            self._span.end()


@lru_cache(_STATEMENTS_KNOWN)
def _shown(query: str) -> str:
    return " ".join(query.split())[:_SHOWN]


@lru_cache(_STATEMENTS_KNOWN)
def _series(query: str) -> Histogram:
    verb = query[:80].split(maxsplit=1)[0].lower() if query.strip() else ""
    return metrics.QUERY_SECONDS.labels(verb if verb in _VERBS else "other")
