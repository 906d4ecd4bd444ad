"""Every question of a data set to a guild's search, each leg for itself and both together."""

import asyncio
from collections.abc import Callable, Mapping

from actors.rag.messages import SearchMode
from actors.runtime.message import Position
from actors.settings import GuildSettings
from cluster.api import Api, Json

TOP = 100
_MAX_QUERY_BYTES = 4_096
_ATTEMPTS = 5
_PAUSE_S = 0.5


class Asker:
    """Asks about the documents with one tag.

    Attributes:
        asked: answers so far.
        shortened: questions that were longer than a question may be.
        one_legged: answers that stayed without the vectors they were to be found by.
    """

    def __init__(
        self, api: Api, *, tag: str, prefix: str, position: Position | None, config: GuildSettings
    ) -> None:
        """Asks nothing yet.

        Args:
            api: signed in.
            tag: what every document of the corpus has.
            prefix: of their external ids; the rest is the document's id.
            position: that each answer must know everything up to.
            config: the bounds.
        """
        self._api = api
        self._tag = tag
        self._prefix = prefix
        self._position = position
        self._top = min(TOP, config.index.max_results)
        self._max_chars = config.index.max_query_chars
        self._in_flight = config.jobs.questions_in_flight
        self.asked = 0
        self.shortened: set[str] = set()
        self.one_legged = 0

    async def ask_all(
        self, queries: Mapping[str, str], mode: SearchMode
    ) -> dict[str, tuple[str, ...]]:
        """Query id to document ids, the best first. Raises `ApiProblem`."""
        found: dict[str, tuple[str, ...]] = {}
        waiting = iter(queries.items())

        async def work() -> None:
            for query_id, text in waiting:
                found[query_id] = await self._ask(query_id, text, mode)
                self.asked += 1

        workers = min(len(queries), self._in_flight)
        await asyncio.gather(*(work() for _ in range(workers)))
        return found

    async def _ask(self, query_id: str, text: str, mode: SearchMode) -> tuple[str, ...]:
        short = shorten(text, self._max_chars)
        if short != text:
            self.shortened.add(query_id)
        body: Json = {
            "query": short,
            "mode": mode.value,
            "top_k": self._top,
            "filters": {"types": ["document"], "tags": [self._tag]},
        }
        if self._position is not None:
            body["min_position"] = str(self._position)
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            hits = (await self._api.post("/rag/search", body)).body["hits"]
            # An embedder that is too busy is left out of a search: that would measure the other.
            if mode is SearchMode.LEXICAL or any("dense" in hit["legs"] for hit in hits):
                break
        else:
            self.one_legged += 1
        return collapse(hits, lambda external_id: external_id.removeprefix(self._prefix))


def collapse(hits: list[Json], name_of: Callable[[str], str]) -> tuple[str, ...]:
    """Documents by their best passage, the best first.

    Args:
        hits: passages, the best first.
        name_of: the document's id for its external id.
    """
    return tuple(dict.fromkeys(name_of(hit["external_id"]) for hit in hits))


def shorten(text: str, max_chars: int) -> str:
    """As much of a question as one may have: it ends after a whole character."""
    data = text[:max_chars].encode()
    return data[:_MAX_QUERY_BYTES].decode(errors="ignore")
