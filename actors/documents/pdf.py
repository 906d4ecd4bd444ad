"""PDF: each page under a heading of its own, so that a passage can be found again."""

import io
import re
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject

from actors.documents.parsed import Limits, Parsed, ParseProblem, bounded

# What people type is kept; what only steers a terminal is not.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_KIDS = re.compile(rb"/Kids\s*\[")
_NODES_A_PAGE = 2
_BYTES_A_NODE = 16
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_LOOKS_LIKE_A_HEADING = re.compile(r"^( {0,3})(#{1,6}[ \t])", re.MULTILINE)


def parse(data: bytes, limits: Limits) -> Parsed:
    """The text of all pages; blank where they are pictures.

    Raises:
        ParseProblem: it is damaged, needs a password, or is too long.
    """
    _check_kids(data, limits)
    try:
        return _parse(PdfReader(io.BytesIO(data)), limits)
    except PyPdfError as error:
        raise ParseProblem("is no PDF that can be read") from error  # it may quote the file


def _parse(reader: PdfReader, limits: Limits) -> Parsed:
    if reader.is_encrypted and not reader.decrypt(""):
        raise ParseProblem("needs a password")
    _check_tree(reader, limits)
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


def _check_kids(data: bytes, limits: Limits) -> None:
    """A list of pages that does not end is refused before it is read."""
    longest = limits.max_parts * _NODES_A_PAGE * _BYTES_A_NODE
    for begin in _KIDS.finditer(data):
        rest = data[begin.end() : begin.end() + longest]
        if len(rest) == longest and b"]" not in rest:
            raise ParseProblem(f"has more than {limits.max_parts:,} pages: split it")


def _check_tree(reader: PdfReader, limits: Limits) -> None:
    """A tree may name a branch twice: forty levels of that are more pages than anybody counts."""
    pending: list[Any] = [reader.root_object.get("/Pages")]
    seen = 0
    while pending:
        node = pending.pop()
        node = node.get_object() if node is not None else None
        seen += 1
        if seen > limits.max_parts * _NODES_A_PAGE:
            raise ParseProblem(f"has more than {limits.max_parts:,} pages: split it")
        kids = node.get("/Kids") if isinstance(node, DictionaryObject) else None
        kids = kids.get_object() if kids is not None else None
        if isinstance(kids, ArrayObject):
            pending += kids[: limits.max_parts * _NODES_A_PAGE]


def _clean(text: str) -> str:
    plain = _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))
    return _LOOKS_LIKE_A_HEADING.sub(r"\1\\\2", plain).strip()
