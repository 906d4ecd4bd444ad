"""The embedder: answers texts with vectors, and people before the backlog."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from actors.embedding.messages import Embed, Embeddings, Vectors
from actors.embedding.model import Embedder
from actors.errors import ValidationError
from actors.runtime.message import Handlers
from actors.settings import IndexSettings


class EmbeddingService:
    """One model, two threads: a query does not wait for a batch of passages to end.

    The processor's time is shared between the two by the operating system; within each thread
    requests run one after the other.
    """

    def __init__(self, model: Embedder, settings: IndexSettings) -> None:
        self._model = model
        self._max_texts = settings.max_embed_texts
        self._known = _Recent(settings.query_cache_entries)
        self._urgent = ThreadPoolExecutor(1, thread_name_prefix="embed-query")
        self._background = ThreadPoolExecutor(1, thread_name_prefix="embed-passages")

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {Embed: self.embed}

    async def embed(self, query: Embed) -> Embeddings:
        """One vector a text.

        Raises:
            ValidationError: no text, or too many.
        """
        if not 1 <= len(query.texts) <= self._max_texts:
            raise ValidationError("texts", f"1 to {self._max_texts}")
        vectors = await (self._remembered(query.texts) if query.urgent else self._run(query.texts))
        return Embeddings(vectors=vectors, model_id=self._model.identity.model_id)

    async def close(self) -> None:
        """Ends both threads; what runs is finished, what waits is dropped."""
        for thread in (self._urgent, self._background):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, texts: Sequence[str]) -> Vectors:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._background, self._model.embed, texts)

    async def _remembered(self, texts: Sequence[str]) -> Vectors:
        known = {text: self._known.get(text) for text in texts}
        new = [text for text, vector in known.items() if vector is None]
        if new:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._urgent, self._model.embed, new)
            for text, vector in zip(new, made, strict=True):
                known[text] = vector
                self._known.put(text, vector)
        return np.stack([vector for text in texts if (vector := known[text]) is not None])


class _Recent:
    """The vectors of the latest queries, by digest of the text; bounded."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    def get(self, text: str) -> Vectors | None:
        key = _digest(text)
        if key in self._vectors:
            self._vectors.move_to_end(key)
        return self._vectors.get(key)

    def put(self, text: str, vector: Vectors) -> None:
        self._vectors[_digest(text)] = vector.copy()  # not a view that keeps its whole batch
        while len(self._vectors) > self._entries:
            self._vectors.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
