"""The embedder: answers texts with vectors, and remembers those of queries."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from actors import metrics
from actors.embedding.identity import ModelIdentity
from actors.embedding.messages import Embed, Embeddings, Vectors
from actors.errors import DependencyUnavailable, ValidationError
from actors.runtime.message import Handlers
from actors.settings import IndexSettings


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    identity: ModelIdentity

    async def embed(self, texts: Sequence[str], *, urgent: bool) -> Vectors:
        """Vectors of shape (texts, dimension), in the order of the texts.

        Args:
            texts: at least one; may be empty strings.
            urgent: somebody waits for it, so that it goes before what is not.

        Raises:
            Overloaded: too much waits already.
            DependencyUnavailable: who makes the vectors does not answer.
        """
        ...

    async def close(self) -> None:
        """Gives back what it holds."""
        ...


class EmbeddingService:
    """Bounds, counts and remembers in front of the embedders, one for each model.

    Args:
        embedder: asked where no model is named.
        settings: bounds.
        others: asked where theirs is.
    """

    def __init__(
        self, embedder: Embedder, settings: IndexSettings, others: Sequence[Embedder] = ()
    ) -> None:
        self._first = embedder
        self._embedders = {one.identity: one for one in (*others, embedder)}
        self._max_texts = settings.max_embed_texts
        self._known = _Recent(settings.query_cache_entries)

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {Embed: self.embed}

    async def embed(self, query: Embed) -> Embeddings:
        """One vector a text.

        Raises:
            ValidationError: no text, or too many.
            Overloaded: too much waits already.
            DependencyUnavailable: who makes the vectors does not answer, or nobody here has the
                model that is asked for.
        """
        if not 1 <= len(query.texts) <= self._max_texts:
            raise ValidationError("texts", f"1 to {self._max_texts}")
        embedder = self._first if query.model is None else self._embedders.get(query.model)
        if embedder is None:
            raise DependencyUnavailable(f"the embedding model {query.model}")
        if query.urgent:
            vectors = await self._remembered(embedder, query.texts)
        else:
            vectors = await self._made(embedder, query.texts, urgent=False)
        return Embeddings(vectors=vectors, model_id=embedder.identity.model_id)

    async def _made(self, embedder: Embedder, texts: Sequence[str], *, urgent: bool) -> Vectors:
        purpose = metrics.embed_purpose(urgent)
        begun = time.perf_counter()
        vectors = await embedder.embed(texts, urgent=urgent)
        metrics.EMBED_SECONDS.labels(purpose).observe(time.perf_counter() - begun)
        metrics.EMBEDDED_TEXTS.labels(purpose).inc(len(texts))
        return vectors

    async def _remembered(self, embedder: Embedder, texts: Sequence[str]) -> Vectors:
        model = embedder.identity
        known = {text: self._known.get(model, text) for text in texts}
        new = [text for text, vector in known.items() if vector is None]
        metrics.EMBED_CACHE.labels("miss").inc(len(new))
        metrics.EMBED_CACHE.labels("hit").inc(len(known) - len(new))
        if new:
            made = await self._made(embedder, new, urgent=True)
            for text, vector in zip(new, made, strict=True):
                known[text] = vector
                self._known.put(model, text, vector)
        return np.stack([vector for text in texts if (vector := known[text]) is not None])


class _Recent:
    """The vectors of the latest queries, by model and digest of the text; bounded."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._vectors: OrderedDict[tuple[ModelIdentity, bytes], Vectors] = OrderedDict()

    def get(self, model: ModelIdentity, text: str) -> Vectors | None:
        key = model, _digest(text)
        if key in self._vectors:
            self._vectors.move_to_end(key)
        return self._vectors.get(key)

    def put(self, model: ModelIdentity, text: str, vector: Vectors) -> None:
        self._vectors[model, _digest(text)] = vector.copy()  # not a view that keeps its whole batch
        while len(self._vectors) > self._entries:
            self._vectors.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
