"""Documents beyond the real ones, made from them, and what is nearest among all. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.search_peers import Rows
from benchmarks.vectors.kept import SEED, Sentences
from benchmarks.vectors.model import Flags, Matrix

NOISE = 0.025
"""Of each component; with 384 of them, the cosine to the real one is about 0.9."""

BLOCK = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Some documents, one behind the other.

    Attributes:
        begin: number of the first.
        real: whether people wrote them; else they were made by perturbing.
        tagged: which have the tag that one in a hundred has.
    """

    begin: int
    texts: list[str]
    vectors: Matrix
    tagged: Flags
    real: bool


def blocks(real: Sentences, count: int) -> Iterator[Block]:
    """So many documents: the real ones, then perturbed ones as often as need be.

    A perturbed one has the first half of one sentence, the second half of another, and the first
    one's vector with noise, of unit length. The same count gives the same documents.
    """
    for begin in range(0, count, BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, count))
        random = np.random.default_rng([SEED, begin])
        tagged = random.random(len(rows)) < 0.01
        base = rows % len(real.texts)
        is_real = int(rows[-1]) < len(real.texts)
        vectors = np.array(real.vectors[base])
        texts = [real.texts[row] for row in base.tolist()]
        if not is_real:
            vectors = perturbed(vectors, random)
            others = random.integers(0, len(real.texts), len(rows)).tolist()
            texts = [crossed(text, real.texts[o]) for text, o in zip(texts, others, strict=True)]
        yield Block(begin=begin, texts=texts, vectors=vectors, tagged=tagged, real=is_real)


def perturbed(vectors: Matrix, random: np.random.Generator) -> Matrix:
    """The vectors with Gaussian noise, of unit length."""
    moved = vectors + NOISE * random.standard_normal(vectors.shape, dtype=np.float32)
    unit: Matrix = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


def crossed(one: str, other: str) -> str:
    """The first half of the words of one, the second half of those of the other."""
    first, second = one.split(), other.split()
    return " ".join([*first[: len(first) // 2], *second[len(second) // 2 :]])


class Nearest:
    """The ``top`` documents nearest to each query among all that were shown."""

    def __init__(self, queries: Matrix, top: int) -> None:
        self._queries = queries
        self._scores = np.full((len(queries), top), -np.inf, np.float32)
        self._rows = np.full((len(queries), top), -1, np.int64)

    def show(self, begin: int, vectors: Matrix) -> None:
        """Some more documents; ``begin`` is the number of the first."""
        scores = np.hstack([self._scores, self._queries @ vectors.T])
        numbers = np.arange(begin, begin + len(vectors))
        rows = np.hstack([self._rows, np.tile(numbers, (len(self._queries), 1))])
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._rows.shape[1]]
        self._scores = np.take_along_axis(scores, order, axis=1)
        self._rows = np.take_along_axis(rows, order, axis=1)

    @property
    def rows(self) -> Rows:
        """Shape (queries, top), the nearest first; -1 where there were too few."""
        return self._rows
