"""DOCX: headings, lists and tables become Markdown. A bomb is refused before it is unpacked."""

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO
from xml.sax import SAXException  # nosec B406  # only its name: the parser is defusedxml's
from xml.sax.handler import ContentHandler  # nosec B406  # the same
from xml.sax.xmlreader import AttributesImpl  # nosec B406  # the same

import defusedxml.ElementTree
import defusedxml.sax
import docx
from defusedxml import DefusedXmlException
from docx.document import Document
from docx.opc.exceptions import OpcError
from docx.opc.part import PartFactory, XmlPart
from docx.table import Table
from docx.text.paragraph import Paragraph

from actors.documents.archive import check_directory, check_not_nested, check_parts
from actors.documents.parsed import Limits, Parsed, ParseProblem, bounded

_HEADING = re.compile(r"Heading ([1-6])")
_XML = (".xml", ".rels")
_MAX_DEPTH = 256  # more than the reader itself takes
_MAX_ATTRIBUTES = 1_000
_BLOCK = 64 << 10
_BLOCKS_OF_A_TAG = 4
_TYPES = "[Content_Types].xml"
_READ_AS_XML = frozenset(
    name for name, part in PartFactory.part_type_for.items() if issubclass(part, XmlPart)
)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    SAXException,
    SyntaxError,  # of XML
    KeyError,  # no list of types
    NotImplementedError,  # a way of packing
    RuntimeError,  # a password
)


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
    check_directory(data, limits)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            check_parts(parts, len(data), limits)
            check_not_nested(archive, limits)
            is_xml = _xml_of(archive)
            for part in parts:
                if is_xml(part.filename.lower()):
                    with archive.open(part) as stream:
                        _check_runs(stream)
                    with archive.open(part) as stream:
                        defusedxml.sax.parse(stream, _Measured(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise ParseProblem("declares XML entities or a document type") from error
    except _DAMAGE as error:
        raise ParseProblem("is no Word document that can be read") from error


def _check_runs(stream: IO[bytes]) -> None:
    """What does not end is read from its start again with every block that arrives."""
    blocks = 0
    while block := stream.read(_BLOCK):
        blocks = 0 if b">" in block else blocks + 1
        if blocks > _BLOCKS_OF_A_TAG:
            raise ParseProblem("has a tag or a text that is too long")


class _Measured(ContentHandler):
    """Refuses what a reader that keeps a tree would choke on."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        """One level deeper.

        Raises:
            ParseProblem: it is too deep, or has too many attributes.
        """
        self._depth += 1
        if self._depth > _MAX_DEPTH or len(attrs) > _MAX_ATTRIBUTES:
            raise ParseProblem("is nested too deeply or has too many attributes")

    def endElement(self, name: str) -> None:
        """One level up again."""
        self._depth -= 1


def _xml_of(archive: zipfile.ZipFile) -> Callable[[str], bool]:
    """Tells, of a part's name in lower case, whether the part may be read as XML.

    Whoever reads the archive believes its list of types, and not the names.
    """
    with archive.open(_TYPES) as stream:
        declared = defusedxml.ElementTree.parse(stream, forbid_dtd=True).iter()
    said = [one for one in declared if one.get("ContentType") in _READ_AS_XML]
    parts = {one.get("PartName", "").lower() for one in said}
    endings = tuple(f".{one.get('Extension', '').lower()}" for one in said if one.get("Extension"))

    def is_xml(name: str) -> bool:
        return name.endswith((*_XML, *endings)) or f"/{name}" in parts

    return is_xml


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
