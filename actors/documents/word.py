"""DOCX: headings, lists and tables become Markdown. A bomb is refused before it is unpacked."""

import io
import re
import zipfile
from collections.abc import Iterator
from xml.sax import SAXException  # nosec B406  # only its name: the parser is defusedxml's
from xml.sax.handler import ContentHandler  # nosec B406  # the same

import defusedxml.sax
import docx
from defusedxml import DefusedXmlException
from docx.document import Document
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph

from actors.documents.parsed import Limits, Parsed, ParseProblem, bounded

_HEADING = re.compile(r"Heading ([1-6])")
_XML = (".xml", ".rels")


def parse(data: bytes, limits: Limits) -> Parsed:
    """The text of the body, in its order.

    Raises:
        ParseProblem: it is damaged, too big when unpacked, has XML entities, or is too long.
    """
    _check(data, limits)
    try:
        document = docx.Document(io.BytesIO(data))
    except (OpcError, KeyError, ValueError) as error:
        raise ParseProblem("is no Word document that can be read") from error
    text = "\n\n".join(_joined_lists(_blocks(document)))
    title = document.core_properties.title or ""
    return Parsed(text=bounded(text, limits), content_type="text/markdown", title=title)


def _check(data: bytes, limits: Limits) -> None:
    """Sizes are those of the directory: no more is ever read of a part than it says there."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if len(parts) > limits.max_parts:
                raise ParseProblem(f"has more than {limits.max_parts:,} parts")
            if sum(part.file_size for part in parts) > limits.max_unpacked_bytes:
                mib = limits.max_unpacked_bytes >> 20
                raise ParseProblem(f"unpacks to more than {mib} MiB")
            for part in parts:
                if part.filename.lower().endswith(_XML):
                    with archive.open(part) as stream:
                        defusedxml.sax.parse(stream, ContentHandler(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise ParseProblem("declares XML entities or a document type") from error
    except (zipfile.BadZipFile, SAXException, NotImplementedError, RuntimeError) as error:
        raise ParseProblem("is no Word document that can be read") from error


def _blocks(document: Document) -> Iterator[tuple[bool, str]]:
    """Every block, and whether it is an item of a list."""
    for block in document.iter_inner_content():
        text = _table(block) if isinstance(block, Table) else _paragraph(block)
        if text:
            yield text.startswith("- "), text


def _joined_lists(blocks: Iterator[tuple[bool, str]]) -> Iterator[str]:
    items: list[str] = []
    for is_item, text in blocks:
        if is_item:
            items.append(text)
            continue
        if items:
            yield "\n".join(items)
            items = []
        yield text
    if items:
        yield "\n".join(items)


def _paragraph(paragraph: Paragraph) -> str:
    text = paragraph.text.strip()
    style = (paragraph.style.name if paragraph.style else None) or ""
    if not text:
        return ""
    if style == "Title":
        return f"# {_one_line(text)}"
    if heading := _HEADING.fullmatch(style):
        return f"{'#' * int(heading[1])} {_one_line(text)}"
    return f"- {_one_line(text)}" if style.startswith("List") else text


def _table(table: Table) -> str:
    rows = [[_one_line(cell.text).replace("|", r"\|") for cell in row.cells] for row in table.rows]
    if not any(any(row) for row in rows):
        return ""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())
