"""What a runbook says to do, step by step and in its own words. Pure."""

import re
from collections.abc import Iterator

from actors.events import RunbookStep
from actors.rag.passages import Section, front_matter, sections

_FINDING_OUT = re.compile(
    r"\b(diagnos\w*|investigat\w*|troubleshoot\w*|triage|verif\w*|checks?|assess\w*)\b", re.I
)
_REPAIRING = re.compile(
    r"\b(mitigat\w*|resol\w*|remed\w*|fix\w*|repair\w*|recover\w*|steps?|procedure|actions?"
    r"|solutions?|what to do|response|instructions)\b",
    re.I,
)
_ITEM = re.compile(r"^( {0,3})(\d{1,3}[.)]|[-*+])[ \t]+(?=\S)")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS = re.compile(r"\*\*|__|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_SENTENCE = re.compile(r"(.+?[.!?:])(?:\s|$)")
MAX_TITLE = 200
MAX_DETAIL = 4_000


def steps(markdown: str, limit: int) -> tuple[RunbookStep, ...]:
    """The steps of a runbook: first of finding out, then of repairing; at most ``limit``.

    Under a heading such as Diagnosis or Mitigation, the items of its lists are steps. Where what
    repairs is not a list, sub-headings are, and without those paragraphs. A runbook without such
    headings gives the items of its numbered lists.
    """
    parts = sections(markdown, front_matter(markdown)[1])
    repairing = [part for part in parts if _about(part, _REPAIRING)]
    finding = [part for part in parts if _about(part, _FINDING_OUT, unless=_REPAIRING)]
    lists_only = any(True for part in repairing for _ in _items(_body(markdown, part)))
    first = [step for part in finding for step in _of(markdown, part, _FINDING_OUT, lists_only)]
    then = [step for part in repairing for step in _of(markdown, part, _REPAIRING, lists_only)]
    if not first and not then:
        numbered = (item for part in parts for item in _items(_body(markdown, part), ordered=True))
        then = [_step(item) for item in numbered]
    if len(first) + len(then) > limit:
        # What repairs is worth more than what explains, but one must know where one stands.
        first = first[: max(limit - len(then), limit // 3)]
    return tuple([*first, *then][:limit])


def _of(
    markdown: str, part: Section, wanted: re.Pattern[str], lists_only: bool
) -> Iterator[RunbookStep]:
    body = _body(markdown, part)
    items = list(_items(body))
    if items:
        yield from map(_step, items)
    elif lists_only:
        return
    elif part.path[-1] != _about(part, wanted):
        yield RunbookStep(title=_plain(part.path[-1])[:MAX_TITLE], detail=_cut(body))
    else:
        yield from map(_step, _paragraphs(body))


def _about(
    part: Section, wanted: re.Pattern[str], unless: re.Pattern[str] | None = None
) -> str | None:
    """The innermost heading below the document's own that says what this section is for."""
    for title in reversed(part.path[1:] if part.level > 1 else part.path):
        if unless is not None and unless.search(title):
            return None
        if wanted.search(title):
            return title
    return None


def _body(markdown: str, part: Section) -> str:
    return markdown[part.body_start : part.end].strip("\n")


def _items(body: str, *, ordered: bool = False) -> Iterator[str]:
    """The outermost list items, each with all that is indented below it."""
    held: list[str] = []
    fenced = False
    after_blank = False
    for line in body.splitlines():
        item = None if fenced else _ITEM.match(line)
        fence = _FENCE.match(line) is not None
        if item and (item[2][0].isdigit() or not ordered):
            if held:
                yield "\n".join(held)
            held = [line[item.end() :]]
        elif held:
            ends = after_blank and not fenced and line.strip() and not line.startswith((" ", "\t"))
            if ends and not fence:
                yield "\n".join(held)
                held = []
            else:
                held.append(line)
        fenced ^= fence
        after_blank = not line.strip()
    if held:
        yield "\n".join(held)


def _paragraphs(body: str) -> Iterator[str]:
    """Paragraphs of prose; a block of code belongs to the one before it."""
    held = ""
    for block in _blocks(body):
        if held and _FENCE.match(block):
            held += "\n\n" + block
            continue
        if held:
            yield held
        held = block
    if held:
        yield held


def _blocks(body: str) -> Iterator[str]:
    held: list[str] = []
    fenced = False
    for line in body.splitlines():
        if not fenced and (not line.strip() or _FENCE.match(line)) and held:
            yield "\n".join(held)
            held = []
        if _FENCE.match(line):
            fenced = not fenced
        if line.strip() or fenced:
            held.append(line)
    if held:
        yield "\n".join(held)


def _step(text: str) -> RunbookStep:
    lines = text.strip().splitlines()
    prose = [line for line in lines[: _first_fence(lines)] if line.strip()]
    flat = _plain(" ".join(prose) or "Run the commands of this step")
    sentence = _SENTENCE.match(flat)
    title = (sentence[1] if sentence else flat).rstrip(":").strip()
    detail = _cut(text)
    if len(title) > MAX_TITLE:
        title = title[: MAX_TITLE - 1].rsplit(" ", 1)[0] + "…"
    return RunbookStep(title=title, detail="" if _plain(detail) in {title, f"{title}:"} else detail)


def _first_fence(lines: list[str]) -> int:
    return next((row for row, line in enumerate(lines) if _FENCE.match(line)), len(lines))


def _plain(text: str) -> str:
    """Without links' targets and emphasis, on one line."""
    return " ".join(_EMPHASIS.sub("", _LINK.sub(r"\1", text)).split())


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"
