"""One ranking out of two. Pure."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Measured on full collections, see docs/adr/0017; near these numbers little changes.
_DEPTH = 20
_EVEN = 0.35  # flatness at which both legs are believed alike
_SHARPNESS = 3.0
_LEAST, _MOST = 0.5, 0.9
_FAR_LEAST, _FAR_MOST = 0.1, 0.95  # and with what a guild has learnt

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Legs:
    """Both legs' scores of the same candidates, aligned.

    Attributes:
        lexical: BM25, 0 where no word is shared.
        dense: cosine; NaN where there is no vector yet.
    """

    lexical: Scores
    dense: Scores


def lexical_share(scores: Scores) -> Scores:
    """BM25 as a share of the best one: 0 to 1, and 0 still means no word in common."""
    best = float(scores.max(initial=0.0))
    return scores / best if best > 0 else np.zeros_like(scores)


def dense_share(scores: Scores) -> Scores:
    """Cosines stretched between the weakest and the best candidate; unknown ones in the middle.

    A passage that waits for its vector must be neither hidden nor preferred for that.
    """
    known = ~np.isnan(scores)
    if not known.any():
        return np.zeros_like(scores)
    low, high = float(scores[known].min()), float(scores[known].max())
    spread = high - low
    shares = (scores - low) / spread if spread > 0 else np.ones_like(scores)
    if not known.all():
        shares[~known] = float(np.median(shares[known]))
    return shares.astype(np.float32)


def dense_weight(lexical: Scores) -> float:
    """Share of the dense leg in a query's scores, read from how flat the words' ranking is.

    Where the words single out a few passages, their scores fall steeply and they are mostly right:
    both legs count alike. Where the twentieth passage is nearly as good as the best, the words say
    little, and meaning decides. With fewer passages than that the words are as selective as they
    can be.

    Args:
        lexical: BM25 of the candidates in any order, 0 where no word is shared.
    """
    best = float(lexical.max(initial=0.0))
    if best <= 0:
        return _MOST
    if len(lexical) < _DEPTH:
        return _LEAST
    flatness = float(np.partition(lexical, -_DEPTH)[-_DEPTH]) / best
    odds = (flatness / _EVEN) ** _SHARPNESS
    share: float = odds / (1 + odds)
    return min(_MOST, max(_LEAST, share))


def biased(share: float, bias: float) -> float:
    """The share of the dense leg with what a guild has learnt added to its log-odds.

    Args:
        share: above 0 and below 1.
        bias: above 0: more by meaning; 0 changes nothing.
    """
    if bias == 0:
        return share
    odds = share / (1 - share) * math.exp(bias)
    return min(_FAR_MOST, max(_FAR_LEAST, odds / (1 + odds)))


def fuse(legs: Legs, weight: float) -> Scores:
    """Sum of the two shares, 0 to 1; ``weight`` is the dense one's."""
    fused: Scores = (1 - weight) * lexical_share(legs.lexical) + weight * dense_share(legs.dense)
    return fused
