"""What a file is, by what is in it; its name and its declared type may only agree. Pure.

Two readers must not see two different things in one file, so one that could be two is refused.
"""

import codecs
import re
from pathlib import PurePosixPath

from actors.documents.formats import Format, format_of
from actors.documents.parsed import ParseProblem

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MEDIA_TYPES: dict[str, Format | None] = {
    "text/markdown": Format.MARKDOWN,
    "text/x-markdown": Format.MARKDOWN,
    "text/html": Format.HTML,
    "application/xhtml+xml": Format.HTML,
    "text/plain": Format.TEXT,
    "application/pdf": Format.PDF,
    _WORD: Format.DOCX,
    "application/octet-stream": None,
    "": None,
}
"""What may be declared, and what that says; None: nothing."""

_PDF, _ZIP, _ZIP_END = b"%PDF-", b"PK\x03\x04", b"PK\x05\x06"
_LOOK_FOR_PDF = 1_024  # readers of PDF look for its mark so far
_ZIP_TAIL = 22 + 65_535
_HEAD = 1_024
# What would pass for text, or be guessed to be some; all else that is binary has NUL in it.
_FOREIGN = (
    b"\x7fELF", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!\x1a", b"BZh91AY",
    b"\xfd7zXZ", b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"{\\rtf", b"%!PS-Adobe",
    b"\xca\xfe\xba\xbe", _ZIP_END, b"PK\x07\x08", b"\x28\xb5\x2f\xfd",
)  # fmt: skip
_SECOND_PDF = re.compile(rb"[\r\n]\s*%PDF-[0-9]")
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_MARKUP = re.compile(rb"<(?:!doctype|html|script|svg|\?xml)", re.IGNORECASE)
_ENTITY = re.compile(rb"<!(?:entity|element|attlist|notation)\b", re.IGNORECASE)
_LOOK_FOR_ENTITIES = 64 << 10
_TEXTS = frozenset({Format.MARKDOWN, Format.TEXT})


class NotReadHere(ParseProblem):
    """A kind of file that has no parser."""


def detect(data: bytes, name: str, media_type: str) -> Format:
    """The format of a file.

    Args:
        data: all of it.
        name: only its ending says something.
        media_type: as declared, in lower case and without parameters; empty: none was.

    Raises:
        NotReadHere: no parser reads it.
        ParseProblem: name, declared type and content do not agree, or it is two things in one.
    """
    if media_type not in MEDIA_TYPES:
        raise NotReadHere("is of a media type that no parser reads")
    by_type, by_name = MEDIA_TYPES[media_type], format_of(PurePosixPath(name))
    if by_name is None and PurePosixPath(name).suffix:
        raise NotReadHere("has a name that ends as no parser reads it")
    content = _by_content(data)
    says = {one for one in (by_type, by_name) if one is not None}
    if content is None and Format.HTML in says:
        content = Format.HTML  # a piece of a page
    if content is None:
        if says - _TEXTS:
            raise ParseProblem("is something else than its name or its media type says")
        return by_name or by_type or Format.TEXT
    if says - {content}:
        raise ParseProblem("is something else than its name or its media type says")
    if content is Format.HTML and _ENTITY.search(data, 0, _LOOK_FOR_ENTITIES):
        raise ParseProblem("declares XML entities")
    return content


def _by_content(data: bytes) -> Format | None:
    """PDF, DOCX or HTML by its beginning; None: text, if anything."""
    head = data[:_HEAD].removeprefix(codecs.BOM_UTF8).replace(b"\x00", b"").lstrip()
    if data.startswith(_ZIP):
        if _PDF in data[:_LOOK_FOR_PDF] or not data[-22:].startswith(_ZIP_END):
            raise ParseProblem("is two files in one")
        return Format.DOCX
    if data.startswith(_PDF):
        if _ZIP_END in data[-_ZIP_TAIL:] or _MARKUP.search(data, 0, _LOOK_FOR_PDF):
            raise ParseProblem("is two files in one")
        return Format.PDF
    if data.startswith(_FOREIGN) or data[257:262] == b"ustar":
        raise NotReadHere("is of a kind that no parser reads")
    if _SECOND_PDF.search(data, 0, _LOOK_FOR_PDF) or _ZIP_END in data[-_ZIP_TAIL:]:
        raise ParseProblem("is two files in one")
    if _MARKUP.match(head) and _PAGE.search(head):
        return Format.HTML
    return None
