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
from actors.index.similarity import cosines_of_unit

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

_EXACT_AMONG = 2
"""Of the compressed ranking this many times the limit are scored exactly, and at least so many:"""
_EXACT_AT_LEAST = 100

_GATHERED_SHARE = 1 / 20
"""A filter that leaves no more than this share of the rows is answered from those alone."""

_TRAINED_WITH = 20_000
"""Vectors that the codes are learnt from, at most; more change nothing that could be measured."""

faiss.omp_set_num_threads(1)


class Base(Protocol):
    """Vectors by row, in the order in which they were added. One thread owns it."""

    def __len__(self) -> int: ...

    def add(self, vectors: Vector) -> None:
        """Adds rows behind the last; shape (n, dimension), float32."""
        ...

    def vectors(self) -> Vector:
        """All rows, shape (n, dimension): a view, let go of before the next `add`."""
        ...

    def search(self, query: Vector, alive: Mask | None, limit: int) -> Ranking:
        """The best rows (as ``slots``) among those that ``alive`` marks; None: among all."""
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

    def vectors(self) -> Vector:
        """See `Base.vectors`."""
        return _view(self._index)

    def search(self, query: Vector, alive: Mask | None, limit: int) -> Ranking:
        """See `Base.search`."""
        if alive is not None:
            return gathered(self.vectors(), np.flatnonzero(alive), query, limit)
        return best_of(cosines_of_unit(self.vectors(), query), limit)


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
        index = faiss.index_factory(dimension, described, faiss.METRIC_INNER_PRODUCT)
        # Spread over all of them: neighbours were written together and are alike.
        step = -(-len(vectors) // _TRAINED_WITH)
        index.train(np.ascontiguousarray(vectors[::step]))
        index.add(vectors)
        self._hold(index)

    def _hold(self, index: faiss.Index) -> None:
        refining: Any = index
        self._index = index
        self._exact = faiss.downcast_index(refining.refine_index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vector) -> None:
        """See `Base.add`."""
        self._index.add(vectors)

    def vectors(self) -> Vector:
        """See `Base.vectors`."""
        return _view(self._exact)

    def search(self, query: Vector, alive: Mask | None, limit: int) -> Ranking:
        """See `Base.search`."""
        within = None
        if alive is not None:
            rows = np.flatnonzero(alive)
            if len(rows) <= len(self) * _GATHERED_SHARE:
                return gathered(self.vectors(), rows, query, limit)
            within = faiss.SearchParametersIVF(sel=_selector(alive), nprobe=1)  # type: ignore[call-arg]
        limit = min(limit, len(self))
        among = max(_EXACT_AMONG * limit, _EXACT_AT_LEAST)
        refined = faiss.IndexRefineSearchParameters(  # type: ignore[call-arg]
            k_factor=among / limit, base_index_params=within
        )
        scores, rows = self._index.search(query[None, :], limit, params=refined)
        found = rows[0] >= 0
        return Ranking(rows[0][found], scores[0][found])


def gathered(vectors: Vector, rows: Rows, query: Vector, limit: int) -> Ranking:
    """The best of these rows, each looked at."""
    if len(rows) == len(vectors):  # nothing to leave out: no copy
        return best_of(cosines_of_unit(vectors, query), limit)
    best = best_of(cosines_of_unit(vectors[rows], query), limit)
    return Ranking(rows[best.slots], best.scores)


def best_of(scores: Vector, limit: int) -> Ranking:
    """The places of the ``limit`` highest scores, best first; of equals the first come first."""
    places = np.arange(len(scores), dtype=np.int64)
    if limit < len(scores):
        places = np.sort(np.argpartition(-scores, limit)[:limit])
    best = places[np.argsort(-scores[places], kind="stable")]
    return Ranking(best, scores[best])


def _selector(alive: Mask) -> "faiss.IDSelectorBitmap":
    bits = np.packbits(alive, bitorder="little")
    # The Python layer of FAISS wraps these C++ constructors; its stubs show the C++ side.
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]


def _view(index: Any) -> Vector:
    """The rows of a flat index where they lie."""
    count, dimension = int(index.ntotal), int(index.d)
    if count == 0:
        return np.empty((0, dimension), dtype=np.float32)
    flat: Vector = faiss.rev_swig_ptr(index.get_xb(), count * dimension)
    return flat.reshape(count, dimension)
