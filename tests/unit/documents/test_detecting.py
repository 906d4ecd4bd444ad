"""What a file is, by its contents; name and declared type may only agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.documents.detecting import MEDIA_TYPES, NotReadHere, detect
from actors.documents.formats import Format
from actors.documents.parsed import ParseProblem
from tests.fixtures import files

DOCX = next(name for name, format_ in MEDIA_TYPES.items() if format_ is Format.DOCX)


@pytest.mark.parametrize(
    ("data", "name", "media_type", "format_"),
    [
        (b"# Disk", "a.md", "text/markdown", Format.MARKDOWN),
        (b"# Disk", "a.md", "text/plain", Format.MARKDOWN),
        (b"# Disk", "a.md", "", Format.MARKDOWN),
        (b"# Disk", "README", "text/markdown", Format.MARKDOWN),
        (b"# Disk", "README", "", Format.TEXT),
        (b"a < b", "a.txt", "application/octet-stream", Format.TEXT),
        (b"\xef\xbb\xbf <!DOCTYPE html><p>a", "a.html", "text/html", Format.HTML),
        (b"<p>a piece of a page", "a.html", "text/html", Format.HTML),
        (b"<html><p>a", "a", "", Format.HTML),
        ("<html>a</html>".encode("utf-16"), "a.html", "", Format.HTML),
        (files.pdf("x"), "a.pdf", "application/pdf", Format.PDF),
        (files.pdf("x"), "a", "", Format.PDF),
        (files.word(), "a.DOCX", DOCX, Format.DOCX),
        (files.word(), "a", "application/octet-stream", Format.DOCX),
    ],
)
def test_what_agrees_is_read(data: bytes, name: str, media_type: str, format_: Format) -> None:
    assert detect(data, name, media_type) is format_


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (files.pdf("x"), "a.md", ""),
        (files.pdf("x"), "a.pdf", "text/plain"),
        (files.word(), "a.pdf", ""),
        (b"<!doctype html><p>a", "a.md", ""),
        (b"<html>a", "a.txt", "text/plain"),
        (b"# Disk", "a.pdf", ""),
        (b"# Disk", "a.md", DOCX),
        (b"# Disk", "a.md", "text/html"),
    ],
)
def test_what_does_not_agree_is_refused(data: bytes, name: str, media_type: str) -> None:
    with pytest.raises(ParseProblem, match=r"something else|do not agree"):
        detect(data, name, media_type)


@pytest.mark.parametrize(
    ("name", "media_type"), [("a.exe", ""), ("a.docm", ""), ("a.md", "image/png"), ("a", "x/y")]
)
def test_a_kind_without_a_parser_is_said_to_be_one(name: str, media_type: str) -> None:
    with pytest.raises(NotReadHere):
        detect(b"hello", name, media_type)


def test_text_about_a_pdf_is_no_pdf() -> None:
    assert detect(b"A file begins with %PDF-1.7 then.", "a.md", "") is Format.MARKDOWN


@given(data=st.binary(max_size=300), name=st.text(max_size=20), declared=st.sampled_from(
    [*MEDIA_TYPES]))  # fmt: skip
def test_noise_is_judged_and_never_a_mistake(data: bytes, name: str, declared: str) -> None:
    try:
        format_ = detect(data, name, declared)
    except ParseProblem:
        return

    assert MEDIA_TYPES[declared] in (None, format_, Format.TEXT)
