"""Everything of the embedder that crosses a process."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.embedding.identity import ModelIdentity
from actors.runtime.message import Query

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embeddings:
    """One unit vector per text.

    Attributes:
        vectors: shape (texts, dimension), float32, each of length 1.
        model_id: what made them; vectors of two models are never compared.
    """

    vectors: Vectors
    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed(Query[Embeddings]):
    """Turns texts into vectors; only the first 256 tokens of a text count.

    Attributes:
        texts: at most ``index.max_embed_texts``.
        urgent: somebody waits for it, as for a search's query. Does not queue behind passages that
            are being embedded in the background, and is remembered for the next time.
        model: that must make them; None: the one that the settings name first.
    """

    texts: tuple[str, ...]
    urgent: bool = False
    model: ModelIdentity | None = None
