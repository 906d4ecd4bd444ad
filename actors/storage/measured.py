"""How long statements take, by their verb."""

import time
from functools import lru_cache

from prometheus_client import Histogram

from actors import metrics

_VERBS = frozenset({"select", "insert", "update", "delete", "with"})
_STATEMENTS_KNOWN = 2_048


class Measured:
    """Around one statement; what is not one of the usual verbs is ``other``."""

    __slots__ = ("_begun", "_series")

    def __init__(self, query: str) -> None:
        self._series = _series(query)
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._series.observe(time.perf_counter() - self._begun)


@lru_cache(_STATEMENTS_KNOWN)
def _series(query: str) -> Histogram:
    verb = query[:80].split(maxsplit=1)[0].lower() if query.strip() else ""
    return metrics.QUERY_SECONDS.labels(verb if verb in _VERBS else "other")
