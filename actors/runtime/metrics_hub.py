"""The numbers of all processes as one, with totals that outlive the processes that counted."""

from collections.abc import Iterable
from dataclasses import dataclass

from actors.metrics import Sample, is_seen, only_grows

_Series = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Process:
    samples: tuple[Sample, ...]
    heard_at: float


class MetricsHub:
    """Keeps the latest samples of every process and merges them: sums, or the highest of a few.

    A process that falls silent loses its gauges soon: a dead one has no open connections. Its
    totals stay. Long after, they are folded into one sum, so that the hub does not grow with
    every restart.
    """

    def __init__(self, *, silent_after_s: float, fold_after_s: float) -> None:
        self._silent_after_s = silent_after_s
        self._fold_after_s = fold_after_s
        self._processes: dict[str, _Process] = {}
        self._folded: dict[_Series, float] = {}

    def report(self, process_id: str, samples: Iterable[Sample], now: float) -> None:
        """Replaces what is known of the process."""
        self._processes[process_id] = _Process(tuple(samples), now)

    def merged(self, now: float) -> tuple[Sample, ...]:
        """All processes as one, one sample a series, in a stable order."""
        self._fold(now)
        sums = dict(self._folded)
        for process in self._processes.values():
            silent = now - process.heard_at > self._silent_after_s
            for sample in process.samples:
                if only_grows(sample) or not silent:
                    _add(sums, sample)
        return tuple(Sample(*series, value) for series, value in sorted(sums.items()))

    def _fold(self, now: float) -> None:
        gone = [
            name
            for name, process in self._processes.items()
            if now - process.heard_at > self._fold_after_s
        ]
        for name in gone:
            for sample in self._processes.pop(name).samples:
                if only_grows(sample):
                    _add(self._folded, sample)


def _add(sums: dict[_Series, float], sample: Sample) -> None:
    series = (sample.family, sample.name, sample.labels)
    known = sums.get(series)
    if known is None:
        sums[series] = sample.value
    else:
        sums[series] = max(known, sample.value) if is_seen(sample) else known + sample.value
