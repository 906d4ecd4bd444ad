"""Files become documents, unless the guild has them already."""

import asyncio
import hashlib
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.documents.box import Box
from actors.documents.formats import Format, format_of
from actors.documents.parsed import Parsed, ParseProblem
from actors.settings import JobSettings
from cluster.api import Json
from cluster.jobs.journal import Journal
from cluster.jobs.report import Report
from cluster.jobs.sender import Prepared
from cluster.jobs.walk import Found

# Another number sends every file again: what the parsers make of them has changed.
_PARSERS = 1
_MAX_TITLE = 500
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of every document of a run; what is empty is left to the files."""

    prefix: str = ""
    kind: str | None = None
    tags: tuple[str, ...] = ()

    def external_id(self, relative: str) -> str:
        """The name under which a file's document is kept."""
        return f"{self.prefix}/{relative}" if self.prefix else relative

    def relative(self, external_id: str) -> str:
        """The file of a document, below the root."""
        return external_id[len(self.prefix) + 1 :] if self.prefix else external_id

    def digest(self) -> bytes:
        """Other words about the same file make another document."""
        return json.dumps([_PARSERS, self.kind, sorted(self.tags)]).encode()


class Reader:
    """Reads the files of a walk; several may share one walk and its counts."""

    def __init__(
        self,
        found: Iterator[Found],
        box: Box,
        journal: Journal,
        report: Report,
        said: Said,
        numbers: JobSettings,
        *,
        again: bool = False,
    ) -> None:
        """Takes what it works with.

        Args:
            found: the walk; each file of it is taken by one reader.
            box: the parsers.
            journal: asked for what the guild has.
            report: counts what is not sent.
            said: about every document.
            numbers: the bounds.
            again: whether what the guild has is sent nevertheless.
        """
        self._found = found
        self._box = box
        self._journal = journal
        self._report = report
        self._said = said
        self._numbers = numbers
        self._again = again

    async def documents(self) -> AsyncIterator[Prepared]:
        """What is to be sent, one at a time."""
        for found in self._found:
            self._report.seen += 1
            if found.problem is not None:
                self._report.fail(found.relative, found.problem)
                continue
            format_ = format_of(found.path)
            if format_ is None:
                self._report.skipped += 1
                await asyncio.sleep(0)
                continue
            try:
                prepared = await self._prepare(found, format_)
            except ParseProblem as problem:
                self._report.fail(found.relative, str(problem))
            except OSError as error:
                self._report.fail(found.relative, f"cannot be read: {error.strerror}")
            else:
                if prepared is not None:
                    yield prepared

    async def _prepare(self, found: Found, format_: Format) -> Prepared | None:
        limit = self._numbers.max_file_bytes
        digest = await asyncio.to_thread(digest_of, found.path, self._said.digest(), limit)
        external_id = self._said.external_id(found.relative)
        known = self._journal.get(external_id)
        if known is not None and known.digest == digest and not self._again:
            self._report.unchanged += 1
            return None
        parsed = await self._box.parse(found.path, format_)
        if not parsed.text.strip():
            if format_ in {Format.MARKDOWN, Format.TEXT}:
                self._report.skipped += 1
                return None
            raise ParseProblem("has no text: pictures of pages?")
        return Prepared(
            name=found.relative,
            digest=digest,
            body=self._body(external_id, found.path, format_, parsed),
            size=len(parsed.text.encode()),
        )

    def _body(self, external_id: str, path: Path, format_: Format, parsed: Parsed) -> Json:
        body: Json = {
            "external_id": external_id,
            "content": parsed.text,
            "content_type": parsed.content_type,
        }
        title = " ".join(parsed.title.split())[:_MAX_TITLE]
        if format_ is Format.PDF:
            title = title or path.stem[:_MAX_TITLE]  # its first heading is "Page 1"
        if title:
            body["title"] = title
        if self._said.kind:
            body["kind"] = self._said.kind
        if self._said.tags:
            body["tags"] = list(self._said.tags)
        return body


def digest_of(path: Path, seed: bytes, max_bytes: int) -> str:
    """SHA-256 of a seed and a file, read a block at a time; no link is followed.

    Raises:
        ParseProblem: it is larger than a file may be, or no regular file.
        OSError: it cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(file, "rb", buffering=0) as stream:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ParseProblem("is no regular file")
        if status.st_size > max_bytes:
            raise ParseProblem(f"is larger than {max_bytes >> 20} MiB")
        digest = hashlib.sha256(seed + b"\n")
        left = max_bytes
        while block := stream.read(min(_BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise ParseProblem(f"is larger than {max_bytes >> 20} MiB")
            digest.update(block)
        return digest.hexdigest()
