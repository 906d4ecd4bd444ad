"""What an index holds at one moment, to be read beside it by another thread."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.index.passage import Passage, Source, Vector

_BLOCK = 64
"""So many vectors are gathered at once: each alone would cost ten times as much."""


@dataclass(frozen=True, slots=True, eq=False)
class DenseImage:
    """Vectors by slot as they were.

    Attributes:
        vectors: where they lie; what the leg adds comes behind them.
        rows: the row of each slot; -1 where it has none.
    """

    vectors: Vector
    rows: npt.NDArray[np.int64]

    def of(self, slots: Sequence[int]) -> tuple[Vector, npt.NDArray[np.bool_]]:
        """The vectors of slots, shape (slots, dimension), and which of them there are."""
        rows = np.full(len(slots), -1, dtype=np.int64)
        within = np.asarray(slots) < len(self.rows)
        rows[within] = self.rows[np.asarray(slots, dtype=np.int64)[within]]
        known = rows >= 0
        found = np.zeros((len(slots), self.vectors.shape[1]), dtype=np.float32)
        found[known] = self.vectors[rows[known]]
        return found, known


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some sources with their passages, and the vectors of these passages together.

    Attributes:
        sources: each with its passages, without vectors.
        vectors: of all the passages in their order, shape (passages, dimension).
        known: which passages have one; of the others the row is zeros.
    """

    sources: Sequence[tuple[Source, Sequence[Passage]]]
    vectors: Vector
    known: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """The sources of an index with their passages; nothing in it changes any more.

    Attributes:
        sources: each with the slots of its passages.
        passages: by slot, without vectors.
        dense: the vectors.
    """

    sources: Sequence[tuple[Source, tuple[int, ...]]]
    passages: Sequence[Passage]
    dense: DenseImage

    def blocks(self) -> Iterator[Block]:
        """All of it, a few dozen passages at a time, or at least one source where it has more."""
        some: list[tuple[Source, list[Passage]]] = []
        slots: list[int] = []
        for source, own in self.sources:
            some.append((source, [self.passages[slot] for slot in own]))
            slots += own
            if max(len(some), len(slots)) >= _BLOCK:
                yield Block(some, *self.dense.of(slots))
                some, slots = [], []
        if some:
            yield Block(some, *self.dense.of(slots))

    def loaded(self) -> Iterator[tuple[Source, list[Passage]]]:
        """Each source with its passages and their vectors, as `GuildIndex.replace` takes them."""
        for block in self.blocks():
            found = iter(block.vectors[block.known])  # or one vector would keep 64 rows of nothing
            vectors = iter([next(found) if known else None for known in block.known.tolist()])
            for source, passages in block.sources:
                yield source, [passage.with_vector(next(vectors)) for passage in passages]
