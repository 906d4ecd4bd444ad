"""Where files that arrive over HTTP are read: few at a time, each in a box."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from actors.documents.box import Box
from actors.documents.detecting import detect
from actors.documents.formats import Format
from actors.documents.parsed import Limits, Parsed, ParseProblem, ParserAway
from actors.errors import DependencyUnavailable, Overloaded
from actors.settings import UploadSettings

_BLOCK = 1 << 20
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
_MAX_TITLE = 500


class Desk:
    """Takes a few files at a time, and turns the rest away. One for a process.

    Its parsers are started with the first file, and stay ready for the next.

    Attributes:
        taken: places that are taken now.
    """

    def __init__(self, settings: UploadSettings, *, max_chars: int) -> None:
        """Starts nothing yet.

        Args:
            settings: all bounds.
            max_chars: of the text that comes out.
        """
        self._settings = settings
        self.taken = 0
        self._filling: asyncio.Task[None] | None = None
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

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Held from before a file's first byte is in memory until its text is stored.

        Raises:
            Overloaded: all places are taken.
        """
        if self.taken >= self._settings.at_once:
            raise Overloaded(self._settings.retry_after_s, "the desk for files")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

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
        try:
            format_ = detect(data, name, media_type)
            parsed = await self._box.parse(lambda: _blocks(data), format_)
        except ParserAway as error:
            raise DependencyUnavailable("the parser") from error
        finally:
            self._fill()
        text = _NOT_TEXT.sub("\ufffd", parsed.text)
        if not text.strip():
            raise ParseProblem("has no text")
        title = " ".join(_NOT_TEXT.sub("\ufffd", parsed.title).split())[:_MAX_TITLE]
        if format_ is Format.PDF:
            title = title or PurePosixPath(name).stem[:_MAX_TITLE]  # its first heading is "Page 1"
        return replace(parsed, text=text, title=title)

    async def close(self) -> None:
        """Ends the parsers."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
        await self._box.__aexit__(None, None, None)

    def _fill(self) -> None:
        """A parser that died is replaced behind the answer, and not before the next file."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._refill())

    async def _refill(self) -> None:
        with contextlib.suppress(ParserAway):  # the next file finds out
            await self._box.fill()


def _blocks(data: bytes) -> Iterator[bytes]:
    return (data[place : place + _BLOCK] for place in range(0, len(data), _BLOCK))
