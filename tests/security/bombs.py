"""Files that attack their reader; `python -m tests.security.bombs FOLDER` makes them all."""

import io
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures import files

_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_TYPES = (
    '<?xml version="1.0"?>'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels"'
    ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/word/document.xml" ContentType="{main}"/></Types>'
)
_RELS = (
    '<?xml version="1.0"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    'relationships/officeDocument" Target="{target}"/></Relationships>'
)
_BODY = (
    '<?xml version="1.0"?>{dtd}<w:document xmlns:w="http://schemas.openxmlformats.org/'
    'wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>'
)
_LAUGHS = "<!DOCTYPE l [<!ENTITY a0 'lol'>{}]>".format(
    "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
)
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@dataclass(frozen=True, slots=True)
class Bomb:
    """One attack.

    Attributes:
        name: of the file, as the attacker gives it.
        media_type: as the attacker declares it.
        make: its bytes.
    """

    name: str
    media_type: str
    make: Callable[[], bytes]


def word(
    body: str = "<w:p/>",
    *,
    dtd: str = "",
    main: str = _MAIN,
    target: str = "word/document.xml",
    more: dict[str, bytes] | None = None,
) -> bytes:
    """A Word document of the smallest kind, with parts of the attacker's."""
    return zipped(
        {
            "[Content_Types].xml": _TYPES.format(main=main).encode(),
            "_rels/.rels": _RELS.format(target=target).encode(),
            "word/document.xml": _BODY.format(dtd=dtd, body=body).encode(),
            **(more or {}),
        }
    )


def zipped(parts: dict[str, bytes]) -> bytes:
    """An archive of these parts, under exactly these names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def with_mode(mode: int) -> bytes:
    """A document with a part that is a link or a device."""
    stream = io.BytesIO(word())
    with zipfile.ZipFile(stream, "a") as archive:
        part = zipfile.ZipInfo("word/media/a.png")
        part.create_system = 3
        part.external_attr = mode << 16
        archive.writestr(part, b"/etc/passwd")
    return stream.getvalue()


def with_lie() -> bytes:
    """A part that says it is short and unpacks to 50 MiB."""
    data = bytearray(word(more={"word/a.xml": b"<a>" + b" " * (50 << 20) + b"</a>"}))
    place = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, place + 24, 10)
    return bytes(data)


def with_flag(bit: int) -> bytes:
    """A document whose parts say that they need a password."""
    data = bytearray(word())
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 8] |= bit
        place = data.find(b"PK\x01\x02", place + 1)
    return bytes(data)


def twice() -> bytes:
    """Two parts of one name: two readers may take two different ones."""
    stream = io.BytesIO(word())
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("word/Document.xml", _BODY.format(dtd="", body="<w:p/><w:p/>"))
    return stream.getvalue()


def overlapping(count: int) -> bytes:
    """All parts are one and the same piece of the file."""
    head = word(more={"word/media/a.png": bytes(1 << 20)})
    with zipfile.ZipFile(io.BytesIO(head)) as archive:
        directory, end = archive.start_dir, len(head) - 22
        entry = head[head.rfind(b"PK\x01\x02", directory, end) : end]
    name = b"word/media/a.png"
    copies = b"".join(
        entry.replace(name, b"word/media/%05d" % number + b"p" * (len(name) - 16))
        for number in range(count)
    )
    listed = head[directory:end] + copies
    total = head[directory:end].count(b"PK\x01\x02") + count
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, total, total, len(listed), directory, 0)
    return head[:directory] + listed + tail


def long_directory() -> bytes:
    """A directory that says sizes of 64 bits."""
    data = word()
    end = data[-22:]
    return data[:-22] + b"PK\x06\x07" + bytes(16) + end


def pdf(*objects: bytes) -> bytes:
    """A PDF of these objects; the first is its catalogue."""
    text, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(text))
        text += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return (
        text
        + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
        + table
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, len(text))
    )


def page(stream: bytes, filters: bytes, *more: bytes, resources: bytes = b"") -> bytes:
    """A PDF of one page with these contents."""
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << "
        + resources
        + b" >> >>",
        b"<< /Length %d %s >>\nstream\n" % (len(stream), filters) + stream + b"\nendstream",
        *more,
    )


def flate(data: bytes, times: int = 1) -> bytes:
    """The same, packed so often."""
    for _ in range(times):
        data = zlib.compress(data, 9)
    return data


def pages(count: int, *, said: int | None = None) -> bytes:
    """A PDF whose tree names one page so often."""
    kids = b"3 0 R " * count
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [" + kids + b"] /Count %d >>" % (said or count),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
    )


def _tables(depth: int) -> str:
    return "<w:tbl><w:tr><w:tc>" * depth + "<w:p/>" + "</w:tc></w:tr></w:tbl>" * depth


_CHAIN = b"/Filter [" + b"/FlateDecode " * 4 + b"]"
_FORM = (
    b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /A 5 0 R >> >>"
    b" /Length 5 >>\nstream\n/A Do\nendstream"
)
_DRAWN = b"BT /F1 12 Tf (x) Tj ET "
_FONT = b"/Font << /F1 5 0 R >>"
_HELVETICA = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
_MAPPED = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>"
_CMAP = b"1 beginbfrange <00000000> <7fffffff> <0000> endbfrange "
_LZW = b"\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01"
_MIB = 1 << 20


BOMBS: dict[str, Bomb] = {
    # archives
    "ratio": Bomb("a.docx", DOCX, lambda: word(more={"word/a.png": bytes(20 * _MIB)})),
    "unpacked": Bomb(
        "a.docx", DOCX, lambda: word(more={f"word/{n}.png": bytes(30 * _MIB) for n in range(4)})
    ),
    "entries": Bomb(
        "a.docx", DOCX, lambda: word(more={f"word/{n}.xml": b"<a/>" for n in range(2_000)})
    ),
    "very many entries": Bomb(
        "a.docx", DOCX, lambda: word(more={str(n): b"" for n in range(60_000)})
    ),
    "nested": Bomb("a.docx", DOCX, lambda: word(more={"word/embeddings/a.zip": word()})),
    "nested deeply": Bomb(
        "a.docx",
        DOCX,
        lambda: word(more={"a.bin": zipped({"b": zipped({"c": zipped({"d": bytes(_MIB)})})})}),
    ),
    "nested gzip": Bomb("a.docx", DOCX, lambda: word(more={"a.bin": b"\x1f\x8b\x08" + bytes(99)})),
    "upwards": Bomb("a.docx", DOCX, lambda: word(more={"../../etc/cron.d/a": b"* * * * *"})),
    "upwards inside": Bomb("a.docx", DOCX, lambda: word(more={"word/../../a.xml": b"<a/>"})),
    "absolute": Bomb("a.docx", DOCX, lambda: word(more={"/etc/passwd": b"root::0:0::"})),
    "backslashes": Bomb("a.docx", DOCX, lambda: word(more={"..\\..\\a.exe": b"MZ"})),
    "a drive": Bomb("a.docx", DOCX, lambda: word(more={"C:/a.exe": b"MZ"})),
    "a link": Bomb("a.docx", DOCX, lambda: with_mode(stat.S_IFLNK | 0o777)),
    "a device": Bomb("a.docx", DOCX, lambda: with_mode(stat.S_IFCHR | 0o666)),
    "a pipe": Bomb("a.docx", DOCX, lambda: with_mode(stat.S_IFIFO | 0o666)),
    "a lie about a size": Bomb("a.docx", DOCX, with_lie),
    "a password": Bomb("a.docx", DOCX, lambda: with_flag(1)),
    "one name twice": Bomb("a.docx", DOCX, twice),
    "parts over each other": Bomb("a.docx", DOCX, lambda: overlapping(900)),
    "sizes of 64 bits": Bomb("a.docx", DOCX, long_directory),
    "no parts": Bomb("a.docx", DOCX, lambda: zipped({"a.txt": b"hello"})),
    "an empty archive": Bomb("a.docx", DOCX, lambda: zipped({})),
    "a workbook": Bomb("a.docx", DOCX, lambda: word(main=_MAIN.replace("wordprocess", "sheet"))),
    "macros": Bomb(
        "a.docx",
        DOCX,
        lambda: word(main="application/vnd.ms-word.document.macroEnabled.main+xml"),
    ),
    "a target outside": Bomb("a.docx", DOCX, lambda: word(target="../../../../etc/passwd")),
    "an archive cut off": Bomb("a.docx", DOCX, lambda: files.word()[:-400]),
    "an archive with a hole": Bomb(
        "a.docx", DOCX, lambda: files.word()[:900] + bytes(600) + files.word()[1_500:]
    ),
    # XML
    "billion laughs": Bomb("a.docx", DOCX, lambda: word("<w:p>&a9;</w:p>", dtd=_LAUGHS)),
    "quadratic blow-up": Bomb(
        "a.docx",
        DOCX,
        lambda: word(
            f"<w:p>{'&a;' * 50_000}</w:p>", dtd=f"<!DOCTYPE l [<!ENTITY a '{'A' * 50_000}'>]>"
        ),
    ),
    "an external entity": Bomb(
        "a.docx",
        DOCX,
        lambda: word(
            "<w:p>&a;</w:p>", dtd='<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        ),
    ),
    "a parameter entity": Bomb(
        "a.docx",
        DOCX,
        lambda: word(dtd='<!DOCTYPE l [<!ENTITY % a SYSTEM "http://127.0.0.1/x.dtd">%a;]>'),
    ),
    "an external document type": Bomb(
        "a.docx", DOCX, lambda: word(dtd='<!DOCTYPE l SYSTEM "http://127.0.0.1/x.dtd">')
    ),
    "deep XML": Bomb("a.docx", DOCX, lambda: word("<a>" * 90_000 + "</a>" * 90_000)),
    "tables in tables": Bomb("a.docx", DOCX, lambda: word(_tables(2_000))),
    "very many elements": Bomb("a.docx", DOCX, lambda: word("<w:p/>" * 900_000 + "x" * 900_000)),
    "very many attributes": Bomb(
        "a.docx", DOCX, lambda: word("<a " + " ".join(f"a{n}=''" for n in range(400_000)) + "/>")
    ),
    "XML cut off": Bomb("a.docx", DOCX, lambda: word(more={"word/b.xml": b"<a><b>" + b"c" * 99})),
    "laughs in a page": Bomb("a.html", "text/html", lambda: f"{_LAUGHS}<html>&a9;".encode()),
    "laughs in XHTML": Bomb(
        "a.xhtml", "application/xhtml+xml", lambda: f"<?xml version='1.0'?>{_LAUGHS}<p/>".encode()
    ),
    "XML by its type": Bomb("a.xml", "application/xml", lambda: _LAUGHS.encode()),
    "SVG": Bomb("a.svg", "image/svg+xml", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    # pages
    "very many elements of a page": Bomb("a.html", "text/html", lambda: b"<p>x</p>" * 1_200_000),
    "a deep page": Bomb("a.html", "text/html", lambda: b"<div>" * 500_000 + b"bottom"),
    "very many attributes of a page": Bomb(
        "a.html", "text/html", lambda: b"<p %s>x" % b" ".join(b"a%d" % n for n in range(900_000))
    ),
    # PDF
    "an unpacking page": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: page(
            flate(_DRAWN * (9 * _MIB)), b"/Filter /FlateDecode", _HELVETICA, resources=_FONT
        ),
    ),
    "packed four times": Bomb(
        "a.pdf", "application/pdf", lambda: page(flate(bytes(300 * _MIB), 4), _CHAIN)
    ),
    "run lengths": Bomb(
        "a.pdf", "application/pdf", lambda: page(b"\x81 " * (2 * _MIB), b"/Filter /RunLengthDecode")
    ),
    "LZW": Bomb("a.pdf", "application/pdf", lambda: page(_LZW * 500_000, b"/Filter /LZWDecode")),
    "a predictor": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: page(
            flate(bytes(40 * _MIB)),
            b"/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 1 >>",
        ),
    ),
    "very many pages": Bomb("a.pdf", "application/pdf", lambda: pages(150_000)),
    "pages said to be": Bomb("a.pdf", "application/pdf", lambda: pages(1, said=2_000_000_000)),
    "pages in a ring": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: pdf(
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>",
        ),
    ),
    "pages that double": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: pdf(
            b"<< /Type /Catalog /Pages 2 0 R >>",
            *(b"<< /Type /Pages /Kids [%d 0 R %d 0 R] /Count 2 >>" % (n, n) for n in range(3, 40)),
            b"<< /Type /Page /MediaBox [0 0 9 9] >>",
        ),
    ),
    "a form in itself": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: page(b"/A Do", b"", _FORM, resources=b"/XObject << /A 5 0 R >>"),
    ),
    "brackets": Bomb("a.pdf", "application/pdf", lambda: page(b"[" * 900_000, b"")),
    "brackets in an object": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"[" * 900_000),
    ),
    "a font of all characters": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: page(
            _DRAWN,
            b"",
            _MAPPED,
            b"<< /Length %d >>\nstream\n" % len(_CMAP) + _CMAP + b"\nendstream",
            resources=_FONT,
        ),
    ),
    "a PDF with a password": Bomb(
        "a.pdf",
        "application/pdf",
        lambda: files.pdf("x").replace(
            b"/Root 1 0 R",
            b"/Root 1 0 R /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O ("
            + b"a" * 32
            + b") /U ("
            + b"b" * 32
            + b") >> /ID [(a) (b)]",
        ),
    ),
    "a PDF cut off": Bomb("a.pdf", "application/pdf", lambda: files.pdf("x" * 99)[:300]),
    "a PDF of pictures": Bomb("a.pdf", "application/pdf", lambda: files.pdf("", "")),
    "only the mark of a PDF": Bomb("a.pdf", "application/pdf", lambda: b"%PDF-1.7\n"),
    # one thing that says it is another, or two things in one
    "a PDF as Markdown": Bomb("a.md", "text/markdown", lambda: files.pdf("x")),
    "a PDF as Word": Bomb("a.docx", DOCX, lambda: files.pdf("x")),
    "Word as a PDF": Bomb("a.pdf", "application/pdf", files.word),
    "Word as text": Bomb("a.txt", "text/plain", files.word),
    "a page as Markdown": Bomb("a.md", "text/markdown", lambda: b"<!DOCTYPE html><html>x"),
    "Markdown as a PDF": Bomb("a.pdf", "application/pdf", lambda: b"# Disk full"),
    "name and type": Bomb("a.html", "text/markdown", lambda: b"# Disk full"),
    "a PDF that is an archive": Bomb(
        "a.pdf", "application/pdf", lambda: files.pdf("x") + files.word()
    ),
    "an archive that is a PDF": Bomb("a.docx", DOCX, lambda: b"PK\x03\x04" + files.pdf("x")),
    "text that is an archive": Bomb("a.txt", "text/plain", lambda: b"hello\n" + files.word()),
    "a page that is a PDF": Bomb(
        "a.html", "text/html", lambda: b"<!DOCTYPE html><html>\n" + files.pdf("x")
    ),
    "a PDF that is a page": Bomb(
        "a.pdf", "application/pdf", lambda: b"%PDF-1.4\n<html><script>alert(1)</script>"
    ),
    "a program": Bomb("a.txt", "text/plain", lambda: b"\x7fELF\x02\x01\x01" + bytes(99)),
    "a picture as text": Bomb("a.txt", "text/plain", lambda: b"\x89PNG\r\n\x1a\n" + bytes(99)),
    "an old Word document": Bomb(
        "a.docx", DOCX, lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(999)
    ),
    "RTF as text": Bomb("a.txt", "text/plain", lambda: b"{\\rtf1 {\\object x}}"),
    "noise as text": Bomb("a.txt", "text/plain", lambda: bytes(range(256)) * 4_000),
    "NUL in text": Bomb("a.md", "text/markdown", lambda: b"# a\x00b"),
    "too much text": Bomb("a.txt", "text/plain", lambda: b"word " * 900_000),
    "nothing": Bomb("a.txt", "text/plain", lambda: b""),
    "larger than a file may be": Bomb("a.txt", "text/plain", lambda: b"a" * (11 << 20)),
}
"""By what they try."""


def main() -> None:
    """Writes each under its number: making them takes more memory than reading them may."""
    for number, bomb in enumerate(BOMBS.values()):
        (Path(sys.argv[1]) / str(number)).write_bytes(bomb.make())


if __name__ == "__main__":
    main()
