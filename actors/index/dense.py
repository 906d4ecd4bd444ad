"""The dense leg: inner products, a large base and a small exact delta that grows into it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from actors.index.bases import Base, CompressedBase, ExactBase, Mask, best_of, gathered
from actors.index.image import DenseImage
from actors.index.lexical import Ranking
from actors.index.passage import Vector
from actors.index.rows import Rows
from actors.index.similarity import cosines_of_unit

_DEAD_AMONG = 4
"""Where few of the base are dead, so many times the limit are asked for instead of a filter."""
_FEW_DEAD = 1 / 20


@dataclass(frozen=True, slots=True)
class Compression:
    """A compressed base in the making: the work may be done anywhere, beside every search.

    Attributes:
        build: takes seconds for a large base.
    """

    build: Callable[[], CompressedBase]


class DenseLeg:
    """Vectors by slot. Not thread-safe: one thread owns it.

    New vectors land in the delta, which numpy scans. When the delta is as large as ``fold_rows``
    it becomes part of the base. When the base is as large as ``compress_rows`` it wants to be
    compressed, see `compression`; until that is done it goes on as it is.

    Args:
        dimension: of the vectors, which must be of unit length.
        fold_rows: size of the delta at which it becomes part of the base.
        compress_rows: size of the base above which looking at every vector takes too long.
    """

    def __init__(self, dimension: int, *, fold_rows: int, compress_rows: int) -> None:
        self._fold_rows = fold_rows
        self._compress_rows = compress_rows
        self._base: Base = ExactBase(dimension)
        self._base_slots = Rows(np.int64)
        self._delta = Rows(np.float32, dimension)
        self._delta_slots = Rows(np.int64)
        self._rows = Rows(np.int64)  # by slot; -1 where it has no vector
        self._compressing = False
        self._held = 0

    def __contains__(self, slot: int) -> bool:
        return self._row(slot) >= 0

    def __len__(self) -> int:
        return len(self._base) + len(self._delta)

    def add(self, slots: Sequence[int], vectors: Vector) -> None:
        """Adds vectors, shape (slots, dimension); a slot is given at most one, ever."""
        if not slots:
            return
        missing = max(slots) + 1 - len(self._rows)
        if missing > 0:
            self._rows.extend(np.full(missing, -1))
        self._rows.all[list(slots)] = np.arange(len(self), len(self) + len(slots))
        self._delta.extend(vectors)
        self._delta_slots.extend(slots)
        if len(self._delta) >= self._fold_rows and not self._held:
            self._fold()

    def vector(self, slot: int) -> Vector | None:
        """The vector of a slot, or None where it has none yet."""
        row = self._row(slot)
        if row < 0:
            return None
        base = row < len(self._base)
        held: Vector = self._base.vectors()[row] if base else self._delta.all[row - len(self._base)]
        return held.copy()

    def cosines(self, slots: Sequence[int], query: Vector) -> Vector:
        """The inner product of each slot with the query; NaN where it has no vector yet."""
        rows = np.array([self._row(slot) for slot in slots], dtype=np.int64)
        found = np.full(len(rows), np.nan, dtype=np.float32)
        base = (rows >= 0) & (rows < len(self._base))
        delta = rows >= len(self._base)
        found[base] = cosines_of_unit(self._base.vectors()[rows[base]], query)
        found[delta] = cosines_of_unit(self._delta.all[rows[delta] - len(self._base)], query)
        return found

    def search(self, query: Vector, alive: Mask | None, limit: int) -> Ranking:
        """The ``limit`` nearest slots.

        Args:
            query: of unit length.
            alive: by slot number, which of them may be found; None: all.
            limit: at most so many.
        """
        base = self._search_base(query, alive, limit)
        slots = self._delta_slots.all
        rows = np.arange(len(slots)) if alive is None else np.flatnonzero(alive[slots])
        delta = gathered(self._delta.all, rows, query, limit)
        both = np.concatenate([base.slots, slots[delta.slots]])
        best = best_of(np.concatenate([base.scores, delta.scores]), limit)
        return Ranking(both[best.slots], best.scores)

    def compression(self) -> Compression | None:
        """What makes a large base a compressed one, once; None where there is nothing to do.

        Run its work off the owning thread, then give the result to `compress`. Meanwhile the base
        stays as it is and everything new is in the delta.
        """
        wanted = isinstance(self._base, ExactBase) and len(self._base) >= self._compress_rows
        if not wanted or self._compressing:
            return None
        self._compressing = True
        self._held += 1
        vectors = self._base.vectors()
        return Compression(lambda: CompressedBase(vectors))

    def compress(self, base: CompressedBase | None) -> None:
        """Takes the compressed base over; None where it could not be made."""
        self._compressing = False
        self._held -= 1
        if base is not None:
            self._base = base

    def image(self) -> DenseImage:
        """The vectors as they are; until `release` nothing is added to the base."""
        self._held += 1
        return DenseImage(self._base.vectors(), self._delta.all.copy(), self._rows.all.copy())

    def release(self) -> None:
        """One image is not looked at any more."""
        self._held -= 1

    def _search_base(self, query: Vector, alive: Mask | None, limit: int) -> Ranking:
        if len(self._base) == 0:
            return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))
        slots = self._base_slots.all
        if alive is None:
            found = self._base.search(query, None, limit)
            return Ranking(slots[found.slots], found.scores)
        living = alive[slots]
        left = int(np.count_nonzero(living))
        if left >= len(living) * (1 - _FEW_DEAD):
            found = self._base.search(query, None, _DEAD_AMONG * limit)
            kept = living[found.slots]
            if int(np.count_nonzero(kept)) >= min(limit, left):
                rows = found.slots[kept][:limit]
                return Ranking(slots[rows], found.scores[kept][:limit])
        found = self._base.search(query, living, limit)
        return Ranking(slots[found.slots], found.scores)

    def _fold(self) -> None:
        self._base.add(self._delta.all)
        self._base_slots.extend(self._delta_slots.all)
        self._delta.drop(len(self._delta))
        self._delta_slots.drop(len(self._delta_slots))

    def _row(self, slot: int) -> int:
        return int(self._rows.all[slot]) if slot < len(self._rows) else -1
