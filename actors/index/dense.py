"""The dense leg: inner products, a large base and a small exact delta that grows into it."""

import numpy as np

from actors.index.bases import Base, CompressedBase, ExactBase, Mask
from actors.index.lexical import Ranking
from actors.index.passage import Vector


class DenseLeg:
    """Vectors by slot. Not thread-safe: one thread owns it.

    New vectors land in the delta, which numpy scans. When the delta is as large as ``fold_rows``
    it becomes part of the base; when the base is as large as ``compress_rows`` it is compressed.

    Args:
        dimension: of the vectors, which must be of unit length.
        fold_rows: size of the delta at which it becomes part of the base.
        compress_rows: size of the base above which looking at every vector takes too long.
    """

    def __init__(self, dimension: int, *, fold_rows: int, compress_rows: int) -> None:
        self._fold_rows = fold_rows
        self._compress_rows = compress_rows
        self._exact: ExactBase | None = ExactBase(dimension)
        self._base: Base = self._exact
        self._base_slots = np.empty(0, dtype=np.int64)
        self._delta = np.empty((fold_rows, dimension), dtype=np.float32)
        self._delta_slots = np.empty(fold_rows, dtype=np.int64)
        self._delta_size = 0
        self._rows: dict[int, int] = {}

    def __contains__(self, slot: int) -> bool:
        return slot in self._rows

    def add(self, slot: int, vector: Vector) -> None:
        """Adds one vector; a slot is given at most one, ever."""
        if self._delta_size == self._fold_rows:
            self._fold()
        row = self._delta_size
        self._delta[row] = vector
        self._delta_slots[row] = slot
        self._rows[slot] = len(self._base) + row
        self._delta_size += 1

    def vector(self, slot: int) -> Vector | None:
        """The vector of a slot, or None where it has none yet."""
        row = self._rows.get(slot)
        if row is None:
            return None
        if row < len(self._base):
            return self._base.vector(row)
        recent: Vector = self._delta[row - len(self._base)]
        return recent

    def search(self, query: Vector, alive: Mask, limit: int) -> Ranking:
        """The ``limit`` nearest slots among those that ``alive`` marks, by slot number."""
        base = self._search_base(query, alive, limit)
        delta = self._search_delta(query, alive)
        slots = np.concatenate([base.slots, delta.slots])
        scores = np.concatenate([base.scores, delta.scores])
        best = np.argsort(-scores, kind="stable")[:limit]
        return Ranking(slots[best], scores[best])

    def _search_base(self, query: Vector, alive: Mask, limit: int) -> Ranking:
        if len(self._base) == 0:
            return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))
        found = self._base.search(query, alive[self._base_slots], limit)
        return Ranking(self._base_slots[found.slots], found.scores)

    def _search_delta(self, query: Vector, alive: Mask) -> Ranking:
        slots = self._delta_slots[: self._delta_size]
        found = np.flatnonzero(alive[slots])
        return Ranking(slots[found], self._delta[: self._delta_size][found] @ query)

    def _fold(self) -> None:
        self._base.add(self._delta[: self._delta_size])
        self._base_slots = np.concatenate([self._base_slots, self._delta_slots[: self._delta_size]])
        self._delta_size = 0
        if self._exact is not None and len(self._exact) >= self._compress_rows:
            self._base = CompressedBase(self._exact.vectors())
            self._exact = None
