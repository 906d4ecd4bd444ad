"""The two kinds of a dense base: exact, and compressed with exact scores for the best.

Both answer inner products of what they were given; they differ in how many vectors they look at
closely. Measured in docs/adr/0004.
"""

from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from actors.index.lexical import Ranking
from actors.index.passage import Vector

Mask = npt.NDArray[np.bool_]

_EXACT_AMONG = 2
"""Of the compressed ranking this many times the limit are scored exactly."""

_TRAINED_WITH = 20_000
"""Vectors that the codes are learnt from, at most; more change nothing that could be measured."""

faiss.omp_set_num_threads(1)


class Base(Protocol):
    """Vectors by row, in the order in which they were added. One thread owns it."""

    def __len__(self) -> int: ...

    def add(self, vectors: Vector) -> None:
        """Adds rows behind the last; shape (n, dimension), float32."""
        ...

    def vector(self, row: int) -> Vector:
        """One row as it was added."""
        ...

    def search(self, query: Vector, alive: Mask, limit: int) -> Ranking:
        """The best rows (as ``slots``) among those that ``alive`` marks."""
        ...


class ExactBase:
    """Looks at every vector."""

    def __init__(self, dimension: int) -> None:
        self._index = faiss.IndexFlatIP(dimension)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vector) -> None:
        """See `Base.add`."""
        self._index.add(vectors)

    def vector(self, row: int) -> Vector:
        """See `Base.vector`."""
        stored: Vector = self._index.reconstruct(row)
        return stored

    def vectors(self) -> Vector:
        """All rows: a copy."""
        stored: Vector = self._index.reconstruct_n(0, self._index.ntotal)
        return stored

    def search(self, query: Vector, alive: Mask, limit: int) -> Ranking:
        """See `Base.search`."""
        within = faiss.SearchParameters(sel=_selector(alive))  # type: ignore[call-arg]
        scores, rows = self._index.search(query[None, :], min(limit, len(self)), params=within)
        return _ranking(scores, rows)


class CompressedBase:
    """Ranks by four-bit codes of pairs of components, and scores the best of them exactly.

    One list, so that a filter loses nothing but what the codes misjudge. The codes are learnt once,
    from the vectors that are here at the start.

    Args:
        vectors: shape (n, dimension), n at least 256, an even dimension.
    """

    def __init__(self, vectors: Vector) -> None:
        dimension = vectors.shape[1]
        described = f"IVF1,PQ{dimension // 2}x4fs,RFlat"
        self._index = faiss.index_factory(dimension, described, faiss.METRIC_INNER_PRODUCT)
        # Spread over all of them: neighbours were written together and are alike.
        step = -(-len(vectors) // _TRAINED_WITH)
        self._index.train(np.ascontiguousarray(vectors[::step]))
        self._index.add(vectors)
        refining: Any = self._index
        self._exact = faiss.downcast_index(refining.refine_index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vector) -> None:
        """See `Base.add`."""
        self._index.add(vectors)

    def vector(self, row: int) -> Vector:
        """See `Base.vector`."""
        stored: Vector = self._exact.reconstruct(row)
        return stored

    def search(self, query: Vector, alive: Mask, limit: int) -> Ranking:
        """See `Base.search`."""
        within = faiss.SearchParametersIVF(sel=_selector(alive), nprobe=1)  # type: ignore[call-arg]
        refined = faiss.IndexRefineSearchParameters(  # type: ignore[call-arg]
            k_factor=_EXACT_AMONG, base_index_params=within
        )
        scores, rows = self._index.search(query[None, :], min(limit, len(self)), params=refined)
        return _ranking(scores, rows)


def _selector(alive: Mask) -> "faiss.IDSelectorBitmap":
    bits = np.packbits(alive, bitorder="little")
    # The Python layer of FAISS wraps these C++ constructors; its stubs show the C++ side.
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]


def _ranking(scores: Vector, rows: npt.NDArray[np.int64]) -> Ranking:
    found = rows[0] >= 0
    return Ranking(rows[0][found], scores[0][found])
