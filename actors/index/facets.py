"""Which slots a filter leaves: one list of slots for each value of each property."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

import numpy as np
import numpy.typing as npt

from actors.index.passage import Selection, Source

Mask = npt.NDArray[np.bool_]


class Facet(Enum):
    """A property that filters name."""

    TYPE = "type"
    KIND = "kind"
    STATUS = "status"
    TAG = "tag"
    ACCESS = "access"


class Facets:
    """Slots by property. What was taken out stays in the lists; the mask of the living hides it.

    A filter costs what it matches, not what the guild holds.
    """

    def __init__(self) -> None:
        self._slots: defaultdict[tuple[Facet, str], array[int]] = defaultdict(lambda: array("q"))
        self._changed_at = array("d")  # by slot

    def add(self, source: Source, slots: Sequence[int]) -> None:
        """The slots of a source's passages; they are given in order, each once, ever."""
        for facet, value in _properties(source):
            self._slots[facet, value].extend(slots)
        self._changed_at.extend([source.changed_at] * len(slots))

    def allowed(self, selection: Selection, alive: Mask) -> Mask:
        """Those of ``alive`` that the selection admits, its excluded sources apart.

        Args:
            selection: what may be found.
            alive: one flag a slot; not changed.
        """
        allowed = alive
        for facet, values in _conditions(selection):
            marked = np.zeros_like(alive)
            for value in values:
                marked[self._of(facet, value)] = True
            marked &= allowed
            allowed = marked
        return self._in_time(selection, allowed)

    def _in_time(self, selection: Selection, allowed: Mask) -> Mask:
        if selection.since is None and selection.until is None:
            return allowed
        changed_at = np.frombuffer(self._changed_at, np.float64)
        marked = np.zeros_like(allowed)
        within = marked[: len(changed_at)]
        within[:] = allowed[: len(changed_at)]
        if selection.since is not None:
            within &= changed_at >= selection.since
        if selection.until is not None:
            within &= changed_at < selection.until
        return marked

    def _of(self, facet: Facet, value: str) -> npt.NDArray[np.int64]:
        """A view: let go of before the next `add`."""
        found = self._slots.get((facet, value))
        return np.empty(0, np.int64) if found is None else np.frombuffer(found, np.int64)


def _properties(source: Source) -> Iterator[tuple[Facet, str]]:
    yield Facet.TYPE, source.type
    yield Facet.KIND, source.kind
    yield Facet.STATUS, source.status
    yield Facet.ACCESS, source.access
    for tag in dict.fromkeys(source.tags):
        yield Facet.TAG, tag


def _conditions(selection: Selection) -> Iterator[tuple[Facet, Iterable[str]]]:
    """All of these must hold; each does where any of its values fits."""
    for facet, values in (
        (Facet.TYPE, selection.types),
        (Facet.KIND, selection.kinds),
        (Facet.STATUS, selection.statuses),
        (Facet.ACCESS, selection.access),
    ):
        if values:
            yield facet, values
    for tag in selection.tags:
        yield Facet.TAG, (tag,)
