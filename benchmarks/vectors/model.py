"""What embeds the sentences: the model that ships. The one place that names it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from actors.embedding.identity import SHIPPED
from actors.embedding.model import MiniLm

__all__ = ["DIMENSION", "MODEL_ID", "Embeds", "Flags", "Matrix", "embedder"]

DIMENSION, MODEL_ID = SHIPPED.dimension, SHIPPED.model_id
Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class Embeds(Protocol):
    """What makes the vectors."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Unit vectors of shape (texts, dimension)."""
        ...


def embedder() -> Embeds:
    """The model, loaded."""
    return MiniLm()
