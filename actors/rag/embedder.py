"""How the RAG sage gets vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from actors import metrics
from actors.embedding.identity import ModelIdentity
from actors.embedding.messages import Embeddings
from actors.errors import ElderGuildError
from actors.index.passage import Vector
from actors.runtime.message import Context

_log = structlog.get_logger("elders_guild.rag")


class Embedder(Protocol):
    """Turns texts into unit vectors, somewhere else."""

    async def embed(
        self,
        texts: Sequence[str],
        context: Context,
        *,
        urgent: bool,
        timeout_s: float,
        model: ModelIdentity | None = None,
    ) -> Embeddings:
        """One vector a text.

        Args:
            texts: at least one.
            context: whose.
            urgent: somebody waits for it.
            timeout_s: for all of them.
            model: that must make them; None: the first of the settings.

        Raises:
            ElderGuildError: the embedder is away, full or too slow, or has no such model.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """The vector of a query, and what made it."""

    vector: Vector
    model: ModelIdentity

    def within(self, model: ModelIdentity) -> Vector | None:
        """The vector, where the others are of this model; else there is nothing to compare."""
        if model == self.model:
            return self.vector
        metrics.DENSE_LEG_OFF.labels("switched").inc()
        _log.warning("model_switched_meanwhile", asked_in=str(self.model), present=str(model))
        return None


async def meaning_or_none(
    embedder: Embedder, text: str, context: Context, timeout_s: float, model: ModelIdentity
) -> Meaning | None:
    """The meaning of a query in a model; None where the embedder does not answer in time."""
    if not text.strip():
        return None
    try:
        made = await embedder.embed([text], context, urgent=True, timeout_s=timeout_s, model=model)
    except ElderGuildError as error:
        metrics.DENSE_LEG_OFF.labels("not_embedded").inc()
        _log.warning(
            "query_not_embedded",
            code=error.code,
            reason=str(error),
            model=str(model),
            correlation_id=context.correlation_id,
        )
        return None
    vector: Vector = made.vectors[0]
    return Meaning(vector, ModelIdentity(made.model_id, len(vector)))
