"""An index that was lost when a change of it failed is filled anew, from the rows."""

import asyncio

import structlog

from actors.errors import ElderGuildError
from actors.rag.library import Library
from actors.rag.placement import ShardKey
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")


class Mending:
    """Keeps whole what this member holds."""

    def __init__(self, library: Library, settings: IndexSettings) -> None:
        self._library = library
        self._settings = settings
        self._lost: set[ShardKey] = set()

    async def run(self) -> None:
        """Works for ever."""
        while True:
            try:
                await self.mend()
                pause_s = self._settings.tail_poll_s
            except ElderGuildError as error:
                _log.warning("index_not_filled_anew", code=error.code)
                pause_s = self._settings.tend_retry_s
            except Exception:  # a bug: the shard stays away
                _log.exception("index_not_filled_anew")
                pause_s = self._settings.tend_retry_s
            await asyncio.sleep(pause_s)

    async def mend(self) -> None:
        """Fills what is lost by now.

        Raises:
            ElderGuildError: the rows cannot be read, or it was lost again; nobody can ask it still.
        """
        for key in sorted(self._library.broken):
            self._lost.add(key)
            await self._library.drop(*key)
        for key in sorted(self._lost):
            await self._library.take(key.guild_id, [key.shard])
            self._lost.discard(key)
            _log.info("index_filled_anew", **key._asdict())
