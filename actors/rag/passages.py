"""A document's text cut into passages that know where they stand. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import yaml

from actors.index import cjk

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
_PROSE = re.compile(r"^ {0,3}(?![-*+>|#] |[-*+>|=]*$|\d+[.)] )\S")
_FRONT_MATTER = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.S | re.M
)
# Two characters of a script without spaces are about as much as a word of one with them.
_WORD = re.compile(rf"[{cjk.WIDE}]{{1,2}}|[^\s{cjk.WIDE}]+")
_STOP, _CLOSING = r"[。\uff01\uff1f]", r"[」』\uff09]"
_SENTENCE_END = re.compile(
    rf"(?<=[.!?])\s+|(?<={_STOP})(?!{_STOP}|{_CLOSING})|(?<={_STOP}{_CLOSING})"
)
_SPACE = re.compile(r"\s*")
# Signs of lists, quotes, headings and cells before a line; code; strong emphasis, where it is not
# within a word; templates. Words of scripts without spaces are emphasised in the middle of a line.
_MARKS = re.compile(
    r"^[ \t]*(?:(?:[-*+>|]|#{1,6})[ \t]+)+"
    r"|`+"
    r"|(?<![A-Za-z0-9])(?:\*\*|__)(?=\S)|(?<=\S)(?:\*\*|__)(?![A-Za-z0-9])"
    r"|\{\{(?=[^{}\n]+\}\})|(?<=[^{}\n])\}\}(?!\})",
    re.M,
)
_MAX_FRONT_MATTER = 16_384
_FRONT_MATTERS_KEPT = 64
_MAX_DEPTH = 20
_NESTED = re.compile(r"(?:[-?][ \t]+){20}")  # lists of lists, in one line
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where it was built
_SMALL_SHARE = 4  # a section below 1/4 of a passage shares one with its neighbours


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it, up to the next heading.

    Attributes:
        path: the headings above and this one, outermost first; empty before the first heading.
        level: 1 to 6; 0 before the first heading.
        body_start: where the text after the heading's line begins.
    """

    path: tuple[str, ...]
    level: int
    start: int
    body_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Passage:
    """``text`` is what stands at ``char_start`` of the document, and nothing else."""

    position: int
    heading: str
    text: str
    char_start: int
    char_end: int


def front_matter(text: str) -> tuple[dict[str, object], int]:
    """The YAML block at the top of a Markdown document, and where the rest begins.

    What is not a mapping, is too long, or is no YAML counts as text: a document is never refused
    for how it begins.
    """
    found = _FRONT_MATTER.match(text, 0, _MAX_FRONT_MATTER)
    fields = None if found is None else _fields(found[1])
    return ({}, 0) if found is None or fields is None else (dict(fields), found.end())


@lru_cache(maxsize=_FRONT_MATTERS_KEPT)
def _fields(block: str) -> Mapping[str, object] | None:
    """What a block of YAML says; asked for twice for each document, at least."""
    # An anchor can be repeated until memory is full, and depth takes the parser's time squared.
    if "&" in block or _NESTED.search(block) or _depth(block) > _MAX_DEPTH:
        return None
    try:
        fields = yaml.load(block, Loader=_Loader)  # noqa: S506  # nosec B506  # safe, see there
        return {str(name): value for name, value in fields.items()}
    except Exception:  # the parser has many ways to say that this is no YAML, or no mapping
        return None


def _depth(block: str) -> int:
    """The deepest nesting of brackets, those in strings counted, too."""
    steps = (1 if one in "[{" else -1 for one in re.findall(r"[\[\]{}]", block))
    return max(accumulate(steps), default=0)


def sections(text: str, start: int = 0) -> list[Section]:
    """The document by headings; a ``#`` inside a fenced block is no heading."""
    found: list[Section] = []
    path: list[tuple[int, str]] = []
    opened = (0, start, start)  # level, start, body_start
    for line_start, line_end, level, title in _headings(text, start):
        found.append(Section(_titles(path), *opened, line_start))
        path = [(above, name) for above, name in path if above < level]
        path.append((level, title))
        opened = (level, line_start, line_end)
    found.append(Section(_titles(path), *opened, len(text)))
    return [section for section in found if text[section.start : section.end].strip()]


def first_heading(text: str, start: int = 0) -> str:
    """The text of the first heading, or nothing."""
    return next((title for *_, title in _headings(text, start)), "")


def without_marks(text: str) -> str:
    """Markdown as its reader hears it: every word in its place, few signs of how it is set.

    An embedder takes each sign for a word. Text that is no Markdown loses little: what looks like
    a sign of it, and never a letter, a digit or the gap between two words.
    """
    return _MARKS.sub(" ", text)


def cut(text: str, *, max_words: int, markdown: bool = True) -> list[Passage]:
    """Passages of at most ``max_words``, along headings, then paragraphs, then sentences.

    Two characters of Chinese, Japanese or Korean count as a word. Small neighbouring sections
    share a passage. Together the passages hold every word of the text (without its front matter)
    once, in order.
    """
    start = front_matter(text)[1] if markdown else 0
    parts = sections(text, start) if markdown else [Section((), 0, start, start, len(text))]
    spans: list[tuple[int, int, str]] = []
    for part in parts:
        heading = " > ".join(part.path)
        for begin, end in _pack(text, list(_blocks(text, part.start, part.end)), max_words):
            spans.append((begin, end, heading))
    return [
        Passage(position, heading, text[begin:end], begin, end)
        for position, (begin, end, heading) in enumerate(_join_small(text, spans, max_words))
    ]


def _headings(text: str, start: int) -> Iterator[tuple[int, int, int, str]]:
    """Start and end, level and title of every heading, underlined ones among them."""
    fence = ""
    above: tuple[int, str] | None = None  # a line of prose that an underline would make a heading
    position = start
    for line in text[start:].splitlines(keepends=True):
        end = position + len(line)
        bare = line.rstrip("\r\n")
        mark = _FENCE.match(line)
        prose: tuple[int, str] | None = None
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark:
            fence = mark[1]
        elif heading := _ATX_HEADING.match(bare):
            yield position, end, len(heading[1]), heading[2].strip()
        elif above is not None and (underline := _UNDERLINE.match(bare)):
            yield above[0], end, 1 if underline[1][0] == "=" else 2, above[1]
        elif _PROSE.match(bare):
            prose = (position, bare.strip())
        above = prose
        position = end


def _titles(path: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(title for _, title in path if title)


def count_words(text: str, start: int = 0, end: int | None = None) -> int:
    """Words of a stretch; of scripts without spaces, two characters are one."""
    return sum(1 for _ in _WORD.finditer(text, start, len(text) if end is None else end))


def _blocks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Paragraphs, trimmed; a fenced block counts as one even where it has empty lines."""
    fence = ""
    begin: int | None = None
    last = position = start
    for line in text[start:end].splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        if line.strip() or fence:
            begin = position if begin is None else begin
            last = position + len(line.rstrip())
        elif begin is not None:
            yield begin, last
            begin = None
        position += len(line)
    if begin is not None:
        yield begin, last


def _pack(text: str, blocks: list[tuple[int, int]], max_words: int) -> Iterator[tuple[int, int]]:
    """Neighbouring blocks together, as many as fit."""
    held: tuple[int, int] | None = None
    held_words = 0
    for block in blocks:
        for begin, end in _split(text, *block, max_words):
            words = count_words(text, begin, end)
            if held is not None and held_words + words <= max_words:
                held, held_words = (held[0], end), held_words + words
                continue
            if held is not None:
                yield held
            held, held_words = (begin, end), words
    if held is not None:
        yield held


def _split(text: str, start: int, end: int, max_words: int) -> Iterator[tuple[int, int]]:
    """A block as it is, or where it is too long: by sentences or lines, then by words."""
    while (limit := _limit(text, start, end, max_words)) < end:
        breaks = [found.start() for found in _SENTENCE_END.finditer(text, start, limit)]
        lines = text.rfind("\n", start, limit)
        cut_at = max([place for place in (*breaks[-1:], lines) if place > start], default=limit)
        if count_words(text, start, cut_at) * 2 < max_words:
            cut_at = limit
        yield start, cut_at
        start = _after_space(text, cut_at, end)
    if start < end:
        yield start, end


def _limit(text: str, start: int, end: int, max_words: int) -> int:
    """Where the last word ends that still fits; ``end`` where all of them do."""
    last = start
    for count, word in enumerate(_WORD.finditer(text, start, end), start=1):
        if count > max_words:
            return last
        last = word.end()
    return end


def _after_space(text: str, start: int, end: int) -> int:
    found = _SPACE.match(text, start, end)
    return found.end() if found else start


def _join_small(
    text: str, spans: list[tuple[int, int, str]], max_words: int
) -> list[tuple[int, int, str]]:
    """Puts a small passage together with the one before it, where both fit."""
    joined: list[tuple[int, int, str]] = []
    for begin, end, heading in spans:
        if joined:
            first, last, above = joined[-1]
            smaller = min(count_words(text, first, last), count_words(text, begin, end))
            if smaller * _SMALL_SHARE < max_words and count_words(text, first, end) <= max_words:
                joined[-1] = (first, end, above)
                continue
        joined.append((begin, end, heading))
    return joined
