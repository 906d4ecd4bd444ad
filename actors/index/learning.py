"""What feedback says about the share of the dense leg in a guild. Pure.

One number is learnt, the bias of `fusion.biased`. Feedback says of one source whether it answers a
query; its *curve* says how well the source would stand at each bias that comes into question. A
guild takes the bias that is surely better than none, by its curves; without such a one it has
none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum, sqrt

import numpy as np
import numpy.typing as npt

from actors.index import fusion, skyband
from actors.index.fusion import Legs
from actors.index.skyband import Places

STEPS = 17
GRID: tuple[float, ...] = tuple(np.linspace(-2.0, 2.0, STEPS).tolist())
"""The biases that come into question, lowest first; the middle one is 0."""

DEPTH = 50
"""Passages that are looked at; what stands behind them is as good as not found."""

_NONE = STEPS // 2
_DOUBT = 3.0  # standard errors: as many queries as its square, all of one mind, change nothing yet
_BLAME = 0.5  # weight of what does not answer, beside what does

Curve = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """One source that answers a query, or does not.

    Attributes:
        query: that was asked; judgements of one query count together as one.
        curve: see `curve`.
    """

    query: bytes
    curve: Curve
    relevant: bool


def curve(legs: Legs, places: Places, share: float) -> Curve:
    """How well a source stands at each bias: 1 as the first, falling with the log of its rank.

    Args:
        legs: of all candidates of the query.
        places: of the source's passages among them; the best one counts.
        share: of the dense leg without a bias.

    Returns:
        float32 of shape (`STEPS`,); 0 where the source is not among the first `DEPTH`.
    """
    gains = np.zeros(STEPS, dtype=np.float32)
    for step, bias in enumerate(GRID):
        scores = fusion.fuse(legs, fusion.biased(share, bias))
        first = skyband.order(legs, scores)[:DEPTH]
        found = np.flatnonzero(np.isin(first, places))
        if len(found):
            gains[step] = 1 / np.log2(2 + found[0])
    return gains


def learnt(judgements: Iterable[Judgement]) -> float:
    """The bias that judgements speak for; 0 where they do not speak clearly.

    At each bias every query has an advantage over no bias, which may be negative. The bias is taken
    whose sum of advantages, less `_DOUBT` standard errors of it, is greatest: chance is not taken
    for a reason, and the order of the judgements says nothing. Among equals the nearest to 0.
    """
    by_query: dict[bytes, list[Sequence[float]]] = {}
    for one in judgements:
        curve = one.curve.astype(float)
        weight = 1.0 if one.relevant else -_BLAME
        by_query.setdefault(one.query, []).append((weight * (curve - curve[_NONE])).tolist())
    if not by_query:
        return 0.0
    sure = [_surely(step, by_query.values()) for step in range(STEPS)]
    best = max(range(STEPS), key=lambda step: (sure[step], -abs(GRID[step])))
    return GRID[best]


def _surely(step: int, queries: Iterable[Sequence[Sequence[float]]]) -> float:
    """The least that a bias is likely to bring to all queries together; summed exactly."""
    means = [fsum(one[step] for one in query) / len(query) for query in queries]
    return round(fsum(means) - _DOUBT * sqrt(fsum(mean * mean for mean in means)), 9)
