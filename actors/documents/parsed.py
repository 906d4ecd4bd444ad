"""What a parser takes, gives and refuses."""

from dataclasses import dataclass
from typing import Literal

ParsedType = Literal["text/markdown", "text/plain"]


class ParseProblem(Exception):
    """A file that does not become a document. One sentence, without the file's name."""


class ParserAway(ParseProblem):
    """No parser reads it now; the same file may well be read later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one file may cost.

    Attributes:
        max_chars: of the text that comes out.
        max_unpacked_bytes: of everything that a compressed file holds.
        max_parts: files in an archive, or pages.
        max_ratio: unpacked to packed bytes of an archive.
        max_tags: of a page; a tag with many attributes counts for as many.
        nested: whether an archive may hold another, as a chart's table in a Word document is one.
    """

    max_chars: int
    max_unpacked_bytes: int
    max_parts: int
    max_ratio: int = 1_000
    max_tags: int = 2_000_000
    nested: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A file's text.

    Attributes:
        title: as the file itself names it; empty where it does not.
        text: Markdown, or plain text; blank where the file holds none.
    """

    text: str
    content_type: ParsedType
    title: str = ""


def bounded(text: str, limits: Limits) -> str:
    """The text, if it is not too long.

    Raises:
        ParseProblem: it is.
    """
    if len(text) > limits.max_chars:
        raise ParseProblem(f"has more than {limits.max_chars:,} characters of text: split it")
    return text
