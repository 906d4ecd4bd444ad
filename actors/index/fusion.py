"""One ranking out of two. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Share of the dense leg where nothing else is known. Measured on six collections (docs/adr/0004):
# 0.5 to 0.7 are within 0.01 of each other's mean nDCG@10, and no rule that reads the share from
# the legs' scores was better than the constant.
DENSE_WEIGHT = 0.6

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
    shares[~known] = float(np.median(shares[known]))
    return shares.astype(np.float32)


def fuse(legs: Legs, dense_weight: float) -> Scores:
    """Weighted sum of the two shares, 0 to 1."""
    dense = dense_share(legs.dense)
    fused: Scores = (1 - dense_weight) * lexical_share(legs.lexical) + dense_weight * dense
    return fused
