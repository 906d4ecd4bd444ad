"""HTML: headings, lists, tables and code become Markdown; scripts and styles are left out."""

import re

from bs4 import BeautifulSoup
from markdownify import ATX, MarkdownConverter

from actors.documents.parsed import Limits, Parsed, ParseProblem, bounded
from actors.documents.plain import decode

_LEFT_OUT = ("head", "script", "style", "template", "noscript", "nav", "svg", "iframe")
_RULES_AT_THE_TOP = re.compile(r"\A(?:\s*-{3,}[ \t]*$)+", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")
_DECLARED = re.compile(rb"<meta[^>]+charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_LONG_TAG = re.compile(r"<[^<>]{4096,}")
_LOOK_FOR_CHARSET = 2_048


def parse(data: bytes, limits: Limits) -> Parsed:
    """The page's text.

    Raises:
        ParseProblem: it is no text, or too long.
    """
    page = _text(data)
    if page.count("<") + page.count("=") > limits.max_tags or _attributes(page) > limits.max_tags:
        raise ParseProblem(f"has more than {limits.max_tags:,} tags: split it")
    soup = BeautifulSoup(page, "lxml")
    title = " ".join(soup.title.get_text(" ").split()) if soup.title else ""
    for element in soup.find_all(_LEFT_OUT):
        element.decompose()
    # Nothing is escaped: what is found and cited is what the page says.
    converter = MarkdownConverter(
        heading_style=ATX,
        bullets="-",
        escape_asterisks=False,
        escape_misc=False,
        escape_underscores=False,
    )
    text = _EMPTY_LINES.sub("\n\n", converter.convert_soup(soup)).strip()
    # A rule at the top would pass for front matter.
    text = _RULES_AT_THE_TOP.sub("", text).lstrip("\n")
    return Parsed(text=bounded(text, limits), content_type="text/markdown", title=title)


def _attributes(page: str) -> int:
    """How many the longest tags may have at most."""
    return sum(len(tag[0].split()) for tag in _LONG_TAG.finditer(page))


def _text(data: bytes) -> str:
    declared = _DECLARED.search(data, 0, _LOOK_FOR_CHARSET)
    if declared is not None:
        try:
            return data.decode(declared[1].decode())
        except (LookupError, UnicodeDecodeError):
            pass  # what a page says of itself is often wrong
    return decode(data)
