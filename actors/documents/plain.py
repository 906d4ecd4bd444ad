"""Text files in any of the usual encodings."""

import codecs
import re

from charset_normalizer import from_bytes

from actors.documents.parsed import Limits, Parsed, ParsedType, ParseProblem, bounded

_MAX_BYTES_A_CHAR = 4
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_MAX_CONTROLS = 0.01  # a share; a colourful log has escapes, and those do not count
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the start of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def parse(data: bytes, content_type: ParsedType, limits: Limits) -> Parsed:
    """The text as it stands, front matter included: who stores it reads that.

    Raises:
        ParseProblem: it is no text, or too long.
    """
    if len(data) > limits.max_chars * _MAX_BYTES_A_CHAR:
        raise ParseProblem(f"has more than {limits.max_chars:,} characters of text: split it")
    return Parsed(text=bounded(decode(data), limits), content_type=content_type)


def decode(data: bytes) -> str:
    """UTF-8, what a byte order mark says, or the likeliest encoding (Shift JIS, Latin 1, …).

    Raises:
        ParseProblem: it is no text.
    """
    text = _decoded(data)
    if text is None or "\x00" in text or len(_CONTROLS.findall(text)) > len(text) * _MAX_CONTROLS:
        raise ParseProblem("is not text")
    return text


def _decoded(data: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding)
    text = _strictly(data, "utf-8-sig")
    if text is not None or b"\x00" in data:
        return text
    best = from_bytes(data).best()
    return None if best is None else str(best)


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None
