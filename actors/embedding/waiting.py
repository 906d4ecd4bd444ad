"""How many texts wait: counted, shown, bounded."""

import contextlib
from collections.abc import Iterator

from actors import metrics
from actors.errors import Overloaded
from actors.settings import EmbeddingSettings


class Waiting:
    """Texts that wait or are being embedded; those of people and of the backlog are counted apart.

    A message that finds nobody waiting is let in whatever its size.
    """

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._settings = settings
        self._texts = {True: 0, False: 0}

    @contextlib.contextmanager
    def admitted(self, texts: int, *, urgent: bool) -> Iterator[None]:
        """Counts them until the block ends.

        Raises:
            Overloaded: too many wait already.
        """
        already = self._texts[urgent]
        if already and already + texts > self._settings.max_waiting_texts:
            raise Overloaded(self._settings.retry_after_s, "the embedder")
        self._add(texts, urgent)
        try:
            yield
        finally:
            self._add(-texts, urgent)

    def _add(self, texts: int, urgent: bool) -> None:
        self._texts[urgent] += texts
        metrics.EMBED_WAITING.labels(metrics.embed_purpose(urgent)).set(self._texts[urgent])
