"""Codes of many vectors: small enough to be looked at all, close enough to say which are near.

Measured in docs/adr/0004.
"""

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from actors.index.lexical import Ranking
from actors.index.passage import Vector
from actors.index.similarity import cosines_of_unit

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

_TRAINED_WITH = 20_000
"""Vectors that the codes are learnt from, at most; more change nothing that could be measured."""

faiss.omp_set_num_threads(1)


class Codes:
    """Four bits for each pair of components, in one list, so that a filter loses nothing.

    Learnt once, from the vectors that are there at the start. Not thread-safe.

    Args:
        vectors: shape (n, dimension), n at least 256.
    """

    def __init__(self, vectors: Vector) -> None:
        given = _even(vectors)
        described = f"IVF1,PQ{given.shape[1] // 2}x4fs"
        self._index = faiss.index_factory(given.shape[1], described, faiss.METRIC_INNER_PRODUCT)
        # Spread over all of them: neighbours were written together and are alike.
        step = -(-len(given) // _TRAINED_WITH)
        self._index.train(np.ascontiguousarray(given[::step]))
        self._index.add(given)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vector) -> None:
        """Adds rows behind the last; shape (n, dimension), float32."""
        self._index.add(_even(vectors))

    def near(self, query: Vector, alive: Mask | None, count: int) -> Numbers:
        """About the ``count`` nearest rows among those that ``alive`` marks; None: among all."""
        within: Any = None
        if alive is not None:
            within = faiss.SearchParametersIVF(sel=_selector(alive), nprobe=1)  # type: ignore[call-arg]
        _, rows = self._index.search(_even(query[None, :]), min(count, len(self)), params=within)
        found: Numbers = rows[0][rows[0] >= 0]
        return found


def gathered(vectors: Vector, rows: Numbers, query: Vector, limit: int) -> Ranking:
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


def _even(vectors: Vector) -> Vector:
    """With a component of zeros where their number is odd: codes are of pairs."""
    if vectors.shape[1] % 2 == 0:
        return vectors
    padded: Vector = np.pad(vectors, ((0, 0), (0, 1)))
    return padded


def _selector(alive: Mask) -> "faiss.IDSelectorBitmap":
    bits = np.packbits(alive, bitorder="little")
    # The Python layer of FAISS wraps these C++ constructors; its stubs show the C++ side.
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]
