"""Which model makes the vectors: known from the settings alone, without loading it."""

from dataclasses import dataclass
from typing import assert_never

from actors.settings import Arithmetic, EmbeddingProvider, EmbeddingSettings

# The first name is older than the choice: its 8-bit weights were always multiplied as float32.
_MINILM = {
    Arithmetic.FLOAT32: "all-MiniLM-L6-v2-int8",
    Arithmetic.INT8: "all-MiniLM-L6-v2-w7a8",
}
MINILM_DIMENSION = 384


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Vectors are compared only where this is equal.

    Attributes:
        model_id: the weights and the arithmetic.
        dimension: numbers in a vector.
    """

    model_id: str
    dimension: int

    def __str__(self) -> str:
        return f"{self.model_id} ({self.dimension})"


def minilm(arithmetic: Arithmetic) -> ModelIdentity:
    """The local model in one of its arithmetics."""
    return ModelIdentity(_MINILM[arithmetic], MINILM_DIMENSION)


SHIPPED = minilm(Arithmetic.FLOAT32)
"""What is used where nobody chose."""


def active(settings: EmbeddingSettings) -> ModelIdentity:
    """The model that new passages and queries are embedded with."""
    match settings.provider:
        case EmbeddingProvider.MINILM:
            return minilm(settings.arithmetic)
        case EmbeddingProvider.OPENAI:
            return ModelIdentity(settings.model, settings.dimension)
        case _:
            assert_never(settings.provider)
