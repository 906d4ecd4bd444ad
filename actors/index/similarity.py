"""How alike two vectors are: the one place for it. Pure."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from actors.errors import ValidationError

Method = Literal["cosine", "euclidean", "dot"]
Vector = npt.NDArray[np.float32]
_Exact = npt.NDArray[np.float64]


class NotComparable(ValidationError, ValueError):
    """Two vectors that have no similarity; also a ValueError, as of any other arithmetic."""


def calculate_similarity(
    vector1: Sequence[float] | npt.NDArray[np.floating],
    vector2: Sequence[float] | npt.NDArray[np.floating],
    method: Method = "cosine",
) -> float:
    """One score between 0 and 1, 1 for the most alike; the order of the vectors is no matter.

    ======================  =====================  ==================================
    method                  score                  equal vectors
    ======================  =====================  ==================================
    cosine                  max(0, cos)            1
    euclidean               1 / (1 + distance)     1
    dot                     1 / (1 + e^-product)   above 1/2, and more the longer
    ======================  =====================  ==================================

    A cosine of 0 or below says alike that nothing is shared. The product of orthogonal vectors
    scores 1/2.

    Args:
        vector1: shape (dimension,), dimension at least 1.
        vector2: of the same shape.
        method: which of the three.

    Raises:
        NotComparable: unequal dimensions, none, NaN or infinity, an unknown method, or for a
            cosine a vector of length zero.
    """
    formula = _FORMULAS.get(method)
    if formula is None:
        raise NotComparable("method", f"is none of {', '.join(_FORMULAS)}")
    first, second = _checked("vector1", vector1), _checked("vector2", vector2)
    if len(first) != len(second):
        raise NotComparable("vector2", "has not the dimension of vector1")
    return formula(first, second)


def cosines_of_unit(vectors: Vector, others: Vector) -> Vector:
    """Cosines, -1 to 1, of vectors that are known to be of length 1; unchecked, for hot paths.

    Args:
        vectors: shape (n, dimension).
        others: shape (dimension,) or (m, dimension).

    Returns:
        Shape (n,) or (n, m).
    """
    cosines: Vector = vectors @ others.T
    return cosines


def to_unit(vectors: Vector) -> Vector:
    """Each row of shape (n, dimension) at length 1; a row of zeros has no direction: NaN."""
    unit: Vector = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _checked(name: str, vector: Sequence[float] | npt.NDArray[np.floating]) -> _Exact:
    try:
        exact = np.asarray(vector, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise NotComparable(name, "is no vector of numbers") from None
    if exact.ndim != 1 or exact.size == 0:
        raise NotComparable(name, "is not of shape (dimension,)")
    if not np.isfinite(exact).all():
        raise NotComparable(name, "has NaN or infinity")
    return exact


def _cosine(first: _Exact, second: _Exact) -> float:
    for name, vector in (("vector1", first), ("vector2", second)):
        if not vector.any():
            raise NotComparable(name, "has length zero and so no direction")
    one, other = _scaled(first)[0], _scaled(second)[0]
    cosine = float(one @ other) / (float(np.linalg.norm(one)) * float(np.linalg.norm(other)))
    return min(1.0, max(0.0, cosine))


def _euclidean(first: _Exact, second: _Exact) -> float:
    with np.errstate(over="ignore"):  # an infinite distance scores 0
        return 1 / (1 + float(np.linalg.norm(first - second)))


def _dot(first: _Exact, second: _Exact) -> float:
    (one, longest), (other, longest_other) = _scaled(first), _scaled(second)
    product = float(one @ other)
    if product != 0:  # else 0 times an overflow
        product *= longest * longest_other
    if product < 0:
        return 1 - 1 / (1 + math.exp(max(product, -_NO_MORE)))
    return 1 / (1 + math.exp(-min(product, _NO_MORE)))


def _scaled(vector: _Exact) -> tuple[_Exact, float]:
    """The vector with its largest component at 1, so that no square overflows; and the scale."""
    largest = float(np.abs(vector).max())
    return (vector / largest, largest) if largest > 0 else (vector, 1.0)


_NO_MORE = 700.0  # e^710 overflows; the score is 0 or 1 long before
_FORMULAS: dict[str, Callable[[_Exact, _Exact], float]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
    "dot": _dot,
}
