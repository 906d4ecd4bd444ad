"""The dense leg: inner products, exact, and of many vectors only of those whose codes are near."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from actors.index.codes import Codes, Mask, Numbers, gathered
from actors.index.image import DenseImage
from actors.index.lexical import Ranking
from actors.index.passage import Vector
from actors.index.rows import Rows
from actors.index.similarity import cosines_of_unit

_log = structlog.get_logger("elders_guild.index")

_EXACT_AMONG = 2
"""So many times the limit are looked at exactly, of those whose codes are near; and at least:"""
_EXACT_AT_LEAST = 100

_GATHERED_SHARE = 1 / 20
"""A filter that leaves no more than this share of the rows is answered from those alone."""


@dataclass(frozen=True, slots=True)
class Compression:
    """Codes in the making: the work may be done anywhere, beside every search.

    Attributes:
        build: takes seconds for many vectors.
    """

    build: Callable[[], Codes]


class DenseLeg:
    """Vectors by slot. Not thread-safe: one thread at a time.

    Rows are added behind the last and never change, so what was handed out of them stays as it is.
    When there are ``compress_rows`` of them they want codes, see `compression`; then those that
    have none yet are looked at besides, and get theirs when they are ``fold_rows``.

    Args:
        dimension: of the vectors, which must be of unit length.
        fold_rows: vectors without a code that get theirs together.
        compress_rows: vectors above which looking at every one takes too long.
    """

    def __init__(self, dimension: int, *, fold_rows: int, compress_rows: int) -> None:
        self._fold_rows = fold_rows
        self._compress_rows = compress_rows
        self._vectors = Rows(np.float32, dimension)
        self._slots = Rows(np.int64)
        self._row_of = Rows(np.int64)  # by slot; -1 where it has no vector
        self._codes: Codes | None = None
        self._compressing = False

    def __contains__(self, slot: int) -> bool:
        return self._row(slot) >= 0

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, slots: Sequence[int], vectors: Vector) -> None:
        """Adds vectors, shape (slots, dimension); a slot is given at most one, ever.

        Where no codes can be made of them all are looked at, until there are codes again.
        """
        if not slots:
            return
        missing = max(slots) + 1 - len(self._row_of)
        if missing > 0:
            self._row_of.extend(np.full(missing, -1))
        self._row_of.all[list(slots)] = np.arange(len(self), len(self) + len(slots))
        self._vectors.extend(vectors)
        self._slots.extend(slots)
        if self._codes is not None and len(self) - len(self._codes) >= self._fold_rows:
            try:
                self._codes.add(self._vectors.all[len(self._codes) :])
            except (MemoryError, RuntimeError) as error:  # FAISS's; some may have been added
                _log.warning("codes_dropped", vectors=len(self), reason=str(error))
                self._codes = None

    def vector(self, slot: int) -> Vector | None:
        """The vector of a slot, or None where it has none yet."""
        row = self._row(slot)
        if row < 0:
            return None
        held: Vector = self._vectors.all[row]
        return held

    def cosines(self, slots: Sequence[int], query: Vector) -> Vector:
        """The inner product of each slot with the query; NaN where it has no vector yet."""
        rows = np.array([self._row(slot) for slot in slots], dtype=np.int64)
        found = np.full(len(rows), np.nan, dtype=np.float32)
        known = rows >= 0
        found[known] = cosines_of_unit(self._vectors.all[rows[known]], query)
        return found

    def search(self, query: Vector, alive: Mask | None, limit: int) -> Ranking:
        """The ``limit`` nearest slots.

        Args:
            query: of unit length.
            alive: by slot number, which of them may be found; None: all.
            limit: at most so many.
        """
        slots = self._slots.all
        rows = self._looked_at(query, None if alive is None else alive[slots], limit)
        found = gathered(self._vectors.all, rows, query, limit)
        return Ranking(slots[found.slots], found.scores)

    @property
    def without_code(self) -> int:
        """Rows that are all looked at, where no filter leaves fewer."""
        return len(self) - (0 if self._codes is None else len(self._codes))

    @property
    def wants_codes(self) -> bool:
        """Whether `compression` has something to do."""
        coded = self._codes is not None or self._compressing
        return not coded and len(self) >= self._compress_rows

    def compression(self) -> Compression | None:
        """What makes the codes of many vectors, once; None where there is nothing to do.

        Run its work off the owning thread, then give the result to `compress`.
        """
        if not self.wants_codes:
            return None
        self._compressing = True
        vectors = self._vectors.all
        return Compression(lambda: Codes(vectors))

    def compress(self, codes: Codes | None) -> None:
        """Takes the codes over; None where they could not be made: then at twice as many rows."""
        self._compressing = False
        self._codes = codes
        if codes is None:
            self._compress_rows = 2 * len(self)

    def image(self) -> DenseImage:
        """The vectors as they are now, whatever is added later."""
        return DenseImage(self._vectors.all, self._row_of.all.copy())

    def _looked_at(self, query: Vector, alive: Mask | None, limit: int) -> Numbers:
        """The rows to compare with the query: all that may be found, or those near by code."""
        total = len(self)
        left = total if alive is None else int(np.count_nonzero(alive))
        if self._codes is None or left <= total * _GATHERED_SHARE:
            return np.arange(total) if alive is None else np.flatnonzero(alive)
        coded = len(self._codes)
        among = max(_EXACT_AMONG * limit, _EXACT_AT_LEAST)
        near = self._codes.near(query, None if alive is None else alive[:coded], among)
        rest = np.arange(coded, total)
        return np.concatenate([near, rest if alive is None else rest[alive[coded:]]])

    def _row(self, slot: int) -> int:
        return int(self._row_of.all[slot]) if slot < len(self._row_of) else -1
