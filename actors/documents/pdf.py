"""PDF: each page under a heading of its own, so that a passage can be found again."""

import io
import re

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from actors.documents.parsed import Limits, Parsed, ParseProblem, bounded

# What people type is kept; what only steers a terminal is not.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_LOOKS_LIKE_A_HEADING = re.compile(r"^( {0,3})(#{1,6}[ \t])", re.MULTILINE)


def parse(data: bytes, limits: Limits) -> Parsed:
    """The text of all pages; blank where they are pictures.

    Raises:
        ParseProblem: it is damaged, needs a password, or is too long.
    """
    try:
        return _parse(PdfReader(io.BytesIO(data)), limits)
    except PyPdfError as error:
        raise ParseProblem(f"is no PDF that can be read: {error}") from error


def _parse(reader: PdfReader, limits: Limits) -> Parsed:
    if reader.is_encrypted and not reader.decrypt(""):
        raise ParseProblem("needs a password")
    if len(reader.pages) > limits.max_parts:
        raise ParseProblem(f"has more than {limits.max_parts:,} pages: split it")
    parts: list[str] = []
    length = 0
    for number, page in enumerate(reader.pages, 1):
        text = _clean(page.extract_text())
        if not text:
            continue
        parts.append(f"## Page {number}\n\n{text}")
        length += len(text)
        if length > limits.max_chars:
            break  # the sum below refuses it
    title = reader.metadata.title if reader.metadata else None
    return Parsed(
        text=bounded("\n\n".join(parts), limits),
        content_type="text/markdown",
        title=_clean(str(title or "")),
    )


def _clean(text: str) -> str:
    plain = _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))
    return _LOOKS_LIKE_A_HEADING.sub(r"\1\\\2", plain).strip()
