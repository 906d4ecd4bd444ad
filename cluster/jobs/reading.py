"""Files become documents, unless the guild has them already."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.documents.box import Box
from actors.documents.formats import Format, format_of, title_of
from actors.documents.parsed import Parsed, ParseProblem
from actors.rag.messages import DocumentAccess
from actors.settings import JobSettings
from cluster.api import Json
from cluster.jobs.contents import Contents
from cluster.jobs.journal import Journal
from cluster.jobs.report import Report
from cluster.jobs.sender import Prepared
from cluster.jobs.walk import Found

# Another number sends every file again: what the parsers make of them has changed.
_PARSERS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of every document of a run; what is empty is left to the files."""

    prefix: str = ""
    kind: str | None = None
    tags: tuple[str, ...] = ()
    access_level: DocumentAccess | None = None

    def external_id(self, relative: str) -> str:
        """The name under which a file's document is kept."""
        return f"{self.prefix}/{relative}" if self.prefix else relative

    def relative(self, external_id: str) -> str:
        """The file of a document, below the root."""
        return external_id[len(self.prefix) + 1 :] if self.prefix else external_id

    def digest(self) -> bytes:
        """Other words about the same file make another document."""
        return json.dumps(
            [_PARSERS, self.kind, sorted(self.tags), *filter(None, [self.access_level])]
        ).encode()


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
            self._report.unread_folders += found.unread
            if found.problem is not None:
                self._report.fail(found.relative, found.problem)
                continue
            format_ = format_of(found.path)
            if format_ is None:
                self._report.skipped += 1
                await asyncio.sleep(0)
                continue
            try:
                with found.open() as file:  # at once: another reader lets the walk go on
                    contents = Contents(file, self._said.digest(), self._numbers.max_file_bytes)
                    prepared = await self._prepare(found, format_, contents)
            except ParseProblem as problem:
                self._report.fail(found.relative, str(problem))
            except OSError as error:
                self._report.fail(found.relative, f"cannot be read: {error.strerror}")
            else:
                if prepared is not None:
                    yield prepared

    async def _prepare(self, found: Found, format_: Format, contents: Contents) -> Prepared | None:
        external_id = self._said.external_id(found.relative)
        known = self._journal.get(external_id)
        if (
            known is not None
            and not self._again
            and known.digest == await asyncio.to_thread(contents.read_digest)
        ):
            self._report.unchanged += 1
            return None
        parsed = await self._box.parse(contents.blocks, format_)
        if not parsed.text.strip():
            if format_ in {Format.MARKDOWN, Format.TEXT}:
                self._report.skipped += 1
                if known is not None:
                    self._journal.empty(known)
                    self._report.emptied += 1
                return None
            raise ParseProblem("has no text: pictures of pages?")
        return Prepared(
            name=found.relative,
            digest=contents.digest,
            body=self._body(external_id, found.path, format_, parsed),
            size=len(parsed.text.encode()),
        )

    def _body(self, external_id: str, path: Path, format_: Format, parsed: Parsed) -> Json:
        body: Json = {
            "external_id": external_id,
            "content": parsed.text,
            "content_type": parsed.content_type,
        }
        if title := title_of(parsed, format_, path.stem):
            body["title"] = title
        if self._said.kind:
            body["kind"] = self._said.kind
        if self._said.tags:
            body["tags"] = list(self._said.tags)
        if self._said.access_level:
            body["access_level"] = self._said.access_level
        return body
