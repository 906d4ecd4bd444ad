"""What an index holds at one moment, to be read beside it by another thread."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.index.passage import Passage, Source, Vector


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

    def loaded(self) -> Iterator[tuple[Source, list[Passage]]]:
        """Each source with its passages and their vectors, as `GuildIndex.replace` takes them."""
        for source, slots in self.sources:
            vectors, known = self.dense.of(slots)
            yield (
                source,
                [
                    self.passages[slot].with_vector(vector if present else None)
                    for slot, vector, present in zip(slots, vectors, known.tolist(), strict=True)
                ],
            )
