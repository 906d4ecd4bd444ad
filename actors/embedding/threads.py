"""A blocking model on threads of its own: people first, the backlog on all cores."""

import asyncio
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from actors.embedding.identity import ModelIdentity
from actors.embedding.messages import Vectors
from actors.embedding.waiting import Waiting
from actors.settings import EmbeddingSettings

_LOWEST_PRIORITY = 19  # of Linux, where every thread has one


class Model(Protocol):
    """Turns texts into unit vectors; safe to use from several threads."""

    identity: ModelIdentity

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimension), in the order of the texts. Blocks."""
        ...


class ThreadedModel:
    """One thread for what somebody waits for, the others for the backlog.

    The operating system shares the cores between them and lets the backlog have what is left.

    Args:
        model: what runs on the threads.
        settings: their number and the bound of what may wait for them.
    """

    def __init__(self, model: Model, settings: EmbeddingSettings) -> None:
        self.identity = model.identity
        self._model = model
        self._waiting = Waiting(settings)
        self._urgent = ThreadPoolExecutor(1, thread_name_prefix="embed-query")
        self._background = ThreadPoolExecutor(
            background_threads(settings),
            thread_name_prefix="embed-passages",
            initializer=_step_back,
            initargs=(settings.background_nice,),
        )

    async def embed(self, texts: Sequence[str], *, urgent: bool) -> Vectors:
        """Vectors of shape (texts, dimension), in the order of the texts.

        Raises:
            Overloaded: too many texts wait already.
        """
        with self._waiting.admitted(len(texts), urgent=urgent):
            threads = self._urgent if urgent else self._background
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(threads, self._model.embed, texts)

    async def close(self) -> None:
        """Ends all threads; what runs is finished, what waits is dropped."""
        for threads in (self._urgent, self._background):
            threads.shutdown(wait=False, cancel_futures=True)


def background_threads(settings: EmbeddingSettings) -> int:
    """As many as set, else one for each core that the process may use, within the bound."""
    cores = len(os.sched_getaffinity(0))
    return settings.background_threads or min(cores, settings.max_background_threads)


def _step_back(nice: int) -> None:
    """Lowers the calling thread's priority; queries and the event loop keep theirs."""
    thread = threading.get_native_id()
    lower = min(os.getpriority(os.PRIO_PROCESS, thread) + nice, _LOWEST_PRIORITY)
    os.setpriority(os.PRIO_PROCESS, thread, lower)
