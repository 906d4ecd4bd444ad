"""What is right: brute force, and how much of it was found. Pure."""

from collections.abc import Sequence

import numpy as np

from benchmarks.search_peers import Rows
from benchmarks.vectors.model import Flags, Matrix

_BLOCK = 100


def best(vectors: Matrix, queries: Matrix, top: int, allowed: Flags | None = None) -> Rows:
    """The rows of the ``top`` greatest inner products, shape (queries, top), best first.

    Args:
        vectors: shape (rows, dimension).
        queries: shape (queries, dimension).
        top: how many.
        allowed: which rows count; None: all.

    Raises:
        ValueError: fewer than ``top`` rows count.
    """
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    if len(rows) < top:
        raise ValueError(f"{len(rows)} rows, {top} are needed")
    among = vectors[rows]
    found = np.empty((len(queries), top), np.int64)
    for begin in range(0, len(queries), _BLOCK):
        scores = queries[begin : begin + _BLOCK] @ among.T
        part = np.argpartition(-scores, top - 1, axis=1)[:, :top]
        order = np.argsort(-np.take_along_axis(scores, part, axis=1), axis=1, kind="stable")
        found[begin : begin + _BLOCK] = rows[np.take_along_axis(part, order, axis=1)]
    return found


def recall(found: Sequence[Sequence[int]], right: Rows) -> float:
    """The share of the right rows that were found, over all queries; order does not count.

    A right row below 0 stands for none: there were fewer.

    Raises:
        ValueError: not one answer for each query.
    """
    if len(found) != len(right):
        raise ValueError(f"{len(found)} answers to {len(right)} queries")
    hits = wanted = 0
    for one, rows in zip(found, right.tolist(), strict=True):
        known = {row for row in rows if row >= 0}
        hits += len(known & set(one))
        wanted += len(known)
    return hits / wanted
