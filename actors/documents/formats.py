"""Which parser reads which file."""

import enum
from pathlib import PurePath
from typing import assert_never

from actors.documents.parsed import Limits, Parsed

_MAX_TITLE = 500


class Format(enum.StrEnum):
    """What a file is, by the end of its name."""

    MARKDOWN = "markdown"
    HTML = "html"
    TEXT = "text"
    PDF = "pdf"
    DOCX = "docx"


SUFFIXES = {
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".rst": Format.TEXT,
    ".pdf": Format.PDF,
    ".docx": Format.DOCX,
}


def format_of(path: PurePath) -> Format | None:
    """The format, or None for a file that nobody here reads."""
    return SUFFIXES.get(path.suffix.lower())


def title_of(parsed: Parsed, format_: Format, name: str) -> str:
    """One line for a document, from the file or else its name; may be empty.

    Args:
        parsed: what was read.
        format_: a PDF's own first heading is "Page 1", so its name serves.
        name: of the file, without its ending.
    """
    title = " ".join(parsed.title.split())[:_MAX_TITLE]
    return title or (name[:_MAX_TITLE] if format_ is Format.PDF else "")


def parse(data: bytes, format_: Format, limits: Limits) -> Parsed:
    """The file's text. May take long and much memory: see `actors.documents.box`.

    Raises:
        ParseProblem: it does not become a document.
    """
    # A parser is loaded with the first file of its kind: together they cost a second.
    match format_:
        case Format.MARKDOWN | Format.TEXT:
            from actors.documents import plain

            markdown = format_ is Format.MARKDOWN
            return plain.parse(data, "text/markdown" if markdown else "text/plain", limits)
        case Format.HTML:
            from actors.documents import web_page

            return web_page.parse(data, limits)
        case Format.PDF:
            from actors.documents import pdf

            return pdf.parse(data, limits)
        case Format.DOCX:
            from actors.documents import word

            return word.parse(data, limits)
        case _:
            assert_never(format_)
