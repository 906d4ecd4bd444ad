"""The dense leg: exact inner products, an immutable base and a small growing delta."""

import faiss
import numpy as np
import numpy.typing as npt

from actors.index.lexical import Ranking
from actors.index.passage import Vector

faiss.omp_set_num_threads(1)

Mask = npt.NDArray[np.bool_]


class DenseLeg:
    """Vectors by slot. Not thread-safe: one thread owns it.

    New vectors land in the delta, which numpy scans. When the delta is as large as ``fold_rows``
    it is folded into a new base. Both are exact; a base of another kind changes `_fold` and
    `_search_base` and nothing else.

    Args:
        dimension: of the vectors, which must be of unit length.
        fold_rows: size of the delta at which it becomes part of the base.
    """

    def __init__(self, dimension: int, *, fold_rows: int) -> None:
        self._dimension = dimension
        self._fold_rows = fold_rows
        self._base = faiss.IndexFlatIP(dimension)
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
        self._rows[slot] = self._base.ntotal + row
        self._delta_size += 1

    def vector(self, slot: int) -> Vector | None:
        """The vector of a slot, or None where it has none yet."""
        row = self._rows.get(slot)
        if row is None:
            return None
        if row < self._base.ntotal:
            stored: Vector = self._base.reconstruct(row)
            return stored
        recent: Vector = self._delta[row - self._base.ntotal]
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
        if self._base.ntotal == 0:
            return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))
        bits = np.packbits(alive[self._base_slots], bitorder="little")
        # The Python layer of FAISS wraps these C++ constructors; its stubs show the C++ side.
        selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]
        within = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, rows = self._base.search(
            query[None, :], min(limit, self._base.ntotal), params=within
        )
        found = rows[0] >= 0
        return Ranking(self._base_slots[rows[0][found]], scores[0][found])

    def _search_delta(self, query: Vector, alive: Mask) -> Ranking:
        slots = self._delta_slots[: self._delta_size]
        found = np.flatnonzero(alive[slots])
        return Ranking(slots[found], self._delta[: self._delta_size][found] @ query)

    def _fold(self) -> None:
        base = faiss.IndexFlatIP(self._dimension)
        if self._base.ntotal:
            base.add(self._base.reconstruct_n(0, self._base.ntotal))
        base.add(self._delta[: self._delta_size])
        self._base_slots = np.concatenate([self._base_slots, self._delta_slots[: self._delta_size]])
        self._base = base
        self._delta_size = 0
