"""What of a shard can be among the best of all shards, whatever the legs weigh. Pure."""

from heapq import heappush, heapreplace

import numpy as np
import numpy.typing as npt

from actors.index.fusion import Legs

Places = npt.NDArray[np.int64]


def order(legs: Legs, fused: npt.NDArray[np.float32]) -> Places:
    """Places by their fused score, best first.

    Among equals the nearer in meaning comes first, then the richer in words, then the earlier one:
    so what beats another in both legs precedes it, also where one leg weighs nothing.
    """
    return np.lexsort((-legs.lexical, -legs.dense, -fused)).astype(np.int64)


def contenders(legs: Legs, most: int) -> Places:
    """The places, ascending, that can be among the best ``most`` for some weights of the legs.

    One candidate beats another that is nowhere better; between two equals the earlier one does.
    What at least ``most`` others beat never comes into question, as long as the fused score falls
    with neither leg. Whether a candidate without a vector is better or worse than one with it is
    decided by all shards together, so neither beats the other. O(n log n).

    Args:
        legs: of all candidates.
        most: how many are wanted, at least 1.
    """
    unknown = np.isnan(legs.dense)
    kept = _skyband(legs, np.flatnonzero(~unknown), most)
    kept += _skyband(legs, np.flatnonzero(unknown), most)
    return np.array(sorted(kept), dtype=np.int64)


def _skyband(legs: Legs, places: Places, most: int) -> list[int]:
    lexical, dense = legs.lexical[places], np.nan_to_num(legs.dense[places])
    kept: list[int] = []
    best: list[float] = []  # a heap: the ``most`` highest of those that have come by
    for at in np.lexsort((-dense, -lexical)).tolist():
        height = float(dense[at])
        if len(best) < most:
            heappush(best, height)
        elif best[0] >= height:
            continue
        else:
            heapreplace(best, height)
        kept.append(int(places[at]))
    return kept
