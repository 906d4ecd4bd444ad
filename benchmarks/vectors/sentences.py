"""Which sentences a text has, and which of all are taken. Pure."""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator

MIN_WORDS, MAX_WORDS = 8, 60
_MAX_CHARACTERS = 600
_MIN_LETTERS = 0.75
_PARAGRAPH = re.compile(r"\n\s*\n|\n\s*(?=[-*+>#|`=]|\d+\.\s|:\w+|\.\. )")
_END = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[\"'(\[]?\w)")
_MARKUP = re.compile(r"^[\s\-*+>#]+|``?|\*\*|__")
_SPACE = re.compile(r"\s+")


def sentences_of(text: str) -> Iterator[str]:
    """The sentences of prose: 8 to 60 words, mostly letters; code, tables and lists are not."""
    for paragraph in _PARAGRAPH.split(text):
        plain = _SPACE.sub(" ", _MARKUP.sub("", paragraph)).strip()
        for sentence in _END.split(plain):
            if is_sentence(found := sentence.strip()):
                yield found


def is_sentence(text: str) -> bool:
    """Whether a person would read it as one."""
    if not text or len(text) > _MAX_CHARACTERS or not text[0].isalnum():
        return False
    if not MIN_WORDS <= len(text.split()) <= MAX_WORDS:
        return False
    return sum(one.isalpha() or one == " " for one in text) >= _MIN_LETTERS * len(text)


def docstrings(source: str) -> Iterator[str]:
    """The docstrings of a module of Python; none where it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found = ast.get_docstring(node)
            if found:
                yield found


def chosen(sentences: Iterable[str], count: int) -> list[str]:
    """So many different sentences in an order that only their text decides.

    Two that differ in case, punctuation or digits alone are the same one. The order is that of a
    hash: a prefix is a fair sample, and one source more does not reorder the others.

    Raises:
        ValueError: there are not so many.
    """
    different: dict[str, str] = {}
    for sentence in sentences:
        different.setdefault(_words_alone(sentence), sentence)
    if len(different) < count:
        raise ValueError(f"{len(different)} different sentences, {count} are needed")
    return sorted(different.values(), key=_place)[:count]


def _words_alone(sentence: str) -> str:
    return " ".join(re.findall(r"[^\W\d_]+", sentence.lower()))


def _place(sentence: str) -> bytes:
    return hashlib.sha256(sentence.encode("utf-8", "replace")).digest()
