"""Where files that arrive over HTTP are read: few at a time, each in a box."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from actors.documents.box import Box
from actors.documents.detecting import detect
from actors.documents.formats import title_of
from actors.documents.parsed import Limits, Parsed, ParseProblem, ParserAway
from actors.errors import DependencyUnavailable, Overloaded
from actors.runtime.message import GuildId
from actors.settings import UploadSettings

_BLOCK = 1 << 20
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class Desk:
    """Takes a few files at a time, and turns the rest away. One for a process.

    Its parsers are started with the first file, and stay ready for the next.
    """

    def __init__(self, settings: UploadSettings, *, max_chars: int) -> None:
        """Starts nothing yet.

        Args:
            settings: all bounds.
            max_chars: of the text that comes out.
        """
        self._settings = settings
        self._of: Counter[GuildId] = Counter()
        self._filling: asyncio.Task[None] | None = None
        self._closed = False
        self._box = Box(
            Limits(
                max_chars=max_chars,
                max_unpacked_bytes=settings.max_unpacked_bytes,
                max_parts=settings.max_parts,
                max_ratio=settings.max_ratio,
                max_tags=settings.max_tags,
                nested=False,
            ),
            processes=settings.parsers,
            memory_bytes=settings.parser_memory_bytes,
            timeout_s=settings.parse_timeout_s,
            files_each=settings.files_each_parser,
            cpu_s=settings.parse_cpu_s,
        )

    @property
    def taken(self) -> int:
        """Places that are taken now, by all guilds."""
        return self._of.total()

    @contextlib.asynccontextmanager
    async def place(self, guild_id: GuildId) -> AsyncIterator[None]:
        """Held from before a file's first byte is in memory until its text is stored.

        Raises:
            Overloaded: all places are taken, or all that one guild may take.
        """
        settings = self._settings
        if self.taken >= settings.at_once or self._of[guild_id] >= settings.at_once_each:
            raise Overloaded(settings.retry_after_s, "the desk for files")
        self._of[guild_id] += 1
        try:
            yield
        finally:
            self._of[guild_id] -= 1
            if not self._of[guild_id]:
                del self._of[guild_id]

    async def read(self, data: bytes, name: str, media_type: str) -> Parsed:
        """The text of a file, with a title.

        Args:
            data: all of it.
            name: as its owner calls it; nothing is opened by it.
            media_type: as declared, in lower case and without parameters; empty: none was.

        Raises:
            NotReadHere: nobody here reads such files.
            ParseProblem: it is not what it says, is damaged, costs too much, or has no text. The
                reason quotes nothing of it.
            DependencyUnavailable: no parser can be started.
        """
        format_ = detect(data, name, media_type)
        try:
            parsed = await self._box.parse(lambda: _blocks(data), format_)
        except ParserAway as error:
            raise DependencyUnavailable("the parser") from error
        finally:
            self._fill()
        text = _NOT_TEXT.sub("\ufffd", parsed.text)
        if not text.strip():
            raise ParseProblem("has no text")
        fit = replace(parsed, text=text, title=_NOT_TEXT.sub("\ufffd", parsed.title))
        return replace(fit, title=title_of(fit, format_, PurePosixPath(name).stem))

    async def close(self) -> None:
        """Ends the parsers; none is started any more to have one ready."""
        self._closed = True
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
        await self._box.__aexit__(None, None, None)

    def _fill(self) -> None:
        """A parser that died is replaced behind the answer, and not before the next file."""
        if not self._closed and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._refill())

    async def _refill(self) -> None:
        with contextlib.suppress(ParserAway):  # the next file finds out
            await self._box.fill()


def _blocks(data: bytes) -> Iterator[bytes]:
    return (data[place : place + _BLOCK] for place in range(0, len(data), _BLOCK))
