"""Each format becomes text whose headings search can use."""

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.documents.formats import Format, format_of, parse
from actors.documents.parsed import Limits, ParseProblem
from tests.fixtures import files

LIMITS = Limits(max_chars=10_000, max_unpacked_bytes=4 << 20, max_parts=100)
PAGE = b"""<!doctype html><html><head><title>Disk  guide</title><style>p{}</style></head><body>
<nav>Home</nav><hr><h1>Disk full</h1><p>Look at <code>/var_log</code> * now.<ul><li>one<li>two</ul>
<h2>Table</h2><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
<script>alert(1)</script><pre># no heading</pre></body></html>"""


def test_a_format_is_told_by_the_end_of_the_name() -> None:
    names = ["a.md", "a.MD", "b.htm", "c.txt", "d.pdf", "e.docx", "f.exe", "README"]

    formats = [format_of(PurePath(name)) for name in names]

    assert formats == [
        Format.MARKDOWN,
        Format.MARKDOWN,
        Format.HTML,
        Format.TEXT,
        Format.PDF,
        Format.DOCX,
        None,
        None,
    ]


def test_markdown_is_taken_as_it_stands_with_its_front_matter() -> None:
    text = "---\ntitle: Disk\n---\n# Disk full\n"

    parsed = parse(text.encode(), Format.MARKDOWN, LIMITS)

    assert (parsed.text, parsed.content_type, parsed.title) == (text, "text/markdown", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "shift_jis"])
def test_japanese_text_is_read_in_the_usual_encodings(encoding: str) -> None:
    text = "ディスクがいっぱいです。ログを確認してください。"

    parsed = parse(text.encode(encoding), Format.TEXT, LIMITS)

    assert (parsed.text, parsed.content_type) == (text, "text/plain")


@pytest.mark.parametrize(
    "data", [b"\x00\x01\x02", b"\x7fELF\x02\x00\x00\xff", b"a\x00b", bytes(range(1, 256)) * 20]
)
def test_what_is_not_text_is_refused(data: bytes) -> None:
    with pytest.raises(ParseProblem, match="is not text"):
        parse(data, Format.TEXT, LIMITS)


@pytest.mark.parametrize("format_", [Format.TEXT, Format.HTML])
def test_too_much_text_is_refused(format_: Format) -> None:
    with pytest.raises(ParseProblem, match="10,000 characters"):
        parse(b"word " * 2_001, format_, LIMITS)


def test_a_page_becomes_markdown_without_what_nobody_reads() -> None:
    parsed = parse(PAGE, Format.HTML, LIMITS)

    assert parsed.title == "Disk guide"
    assert parsed.text == (
        "# Disk full\n\nLook at `/var_log` * now.\n\n- one\n- two\n\n## Table\n\n"
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n```\n# no heading\n```"
    )


def test_a_page_is_read_in_the_encoding_that_it_declares() -> None:
    page = '<meta charset="shift_jis"><p>障害'.encode("shift_jis")

    parsed = parse(page, Format.HTML, LIMITS)

    assert parsed.text == "障害"


def test_pages_of_a_pdf_are_headings() -> None:
    data = files.pdf("The disk is full.", "", "# Rotate")

    parsed = parse(data, Format.PDF, LIMITS)

    assert parsed.text == "## Page 1\n\nThe disk is full.\n\n## Page 3\n\n\\# Rotate"


def test_a_pdf_of_pictures_has_no_text() -> None:
    assert parse(files.pdf("", ""), Format.PDF, LIMITS).text == ""


def test_a_pdf_with_too_many_pages_is_refused() -> None:
    with pytest.raises(ParseProblem, match="more than 100 pages"):
        parse(files.pdf(*[""] * 101), Format.PDF, LIMITS)


def test_a_word_document_keeps_headings_lists_and_tables() -> None:
    parsed = parse(files.word(), Format.DOCX, LIMITS)

    assert parsed.text == (
        "# Runbook\n\n## Disk full\n\nRotate the logs.\n\n- one\n- two\n\n"
        "| alert | team |\n| --- | --- |\n| DiskFull | a\\|b |"
    )


def test_a_word_document_that_unpacks_to_too_much_is_refused_unread() -> None:
    bomb = files.with_part(files.word(), "word/media/image1.png", bytes(5 << 20))

    with pytest.raises(ParseProblem, match="unpacks to more than 4 MiB"):
        parse(bomb, Format.DOCX, LIMITS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities_is_refused(encoding: str) -> None:
    text = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
    document = files.with_part(files.word(), "word/extra.xml", text.encode(encoding))

    with pytest.raises(ParseProblem, match="declares XML entities"):
        parse(document, Format.DOCX, LIMITS)


_ENTITIES = b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>'
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


@pytest.mark.parametrize(
    "declared",
    [
        f'<Override PartName="/word/picture.png" ContentType="{_MAIN}"/>',
        f'<Override PartName="/WORD/Picture.PNG" ContentType="{_MAIN}"/>',
        f'<Default Extension="png" ContentType="{_MAIN}"/>',
    ],
)
def test_xml_under_another_name_is_found_by_its_type(declared: str) -> None:
    document = files.with_part(files.word(), "word/picture.png", _ENTITIES)
    document = files.with_declared(document, declared)

    with pytest.raises(ParseProblem, match="declares XML entities"):
        parse(document, Format.DOCX, LIMITS)


def test_a_picture_is_not_read_as_xml() -> None:
    document = files.with_part(files.word(), "word/picture.svg", _ENTITIES)
    document = files.with_declared(
        document, '<Default Extension="svg" ContentType="image/svg+xml"/>'
    )

    assert "Disk full" in parse(document, Format.DOCX, LIMITS).text


def test_an_archive_without_types_is_no_word_document() -> None:
    with pytest.raises(ParseProblem, match="is no Word document"):
        parse(files.with_part(b"", "word/document.xml", b"<a/>"), Format.DOCX, LIMITS)


@pytest.mark.parametrize("format_", [Format.PDF, Format.DOCX])
@given(data=st.binary(max_size=200))
def test_noise_is_refused_in_one_sentence(format_: Format, data: bytes) -> None:
    with pytest.raises(ParseProblem):
        parse(data, format_, LIMITS)
