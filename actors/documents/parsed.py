"""What a parser takes, gives and refuses."""

from dataclasses import dataclass
from typing import Literal

ParsedType = Literal["text/markdown", "text/plain"]


class ParseProblem(Exception):
    """A file that does not become a document. One sentence, without the file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one file may cost.

    Attributes:
        max_chars: of the text that comes out.
        max_unpacked_bytes: of everything that a compressed file holds.
        max_parts: files in an archive, or pages.
    """

    max_chars: int
    max_unpacked_bytes: int
    max_parts: int


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
