"""How the RAG sage gets vectors."""

from collections.abc import Sequence
from typing import Protocol

import structlog

from actors.embedding.messages import Embeddings
from actors.errors import ElderGuildError
from actors.index.passage import Vector
from actors.runtime.message import Context

_log = structlog.get_logger("elders_guild.rag")


class Embedder(Protocol):
    """Turns texts into unit vectors, somewhere else."""

    async def embed(
        self, texts: Sequence[str], context: Context, *, urgent: bool, timeout_s: float
    ) -> Embeddings:
        """One vector a text.

        Raises:
            ElderGuildError: the embedder is away, full or too slow.
        """
        ...


async def vector_or_none(
    embedder: Embedder, text: str, context: Context, timeout_s: float
) -> Vector | None:
    """The vector of a query; None where the embedder does not answer in time."""
    if not text.strip():
        return None
    try:
        made = await embedder.embed([text], context, urgent=True, timeout_s=timeout_s)
    except ElderGuildError as error:
        _log.warning("query_not_embedded", code=error.code, correlation_id=context.correlation_id)
        return None
    vector: Vector = made.vectors[0]
    return vector
