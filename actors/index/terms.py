"""Words of a text as the lexical leg counts them. Pure."""

import re
import unicodedata
from collections.abc import Iterator

import tantivy

from actors.index import cjk

# Identifiers that have something to hide. Plain words, which nearly all are, are passed over in one
# step with what stands between them: only lower or upper case, or one capital in front.
_UNUSUAL = re.compile(
    r"""[^A-Za-z]*+
        (?: (?:[A-Z]?[a-z]++|[A-Z]++) (?![A-Za-z0-9]|[_\-.:/][A-Za-z0-9]) [^A-Za-z]*+ )*+
        ( [A-Za-z][A-Za-z0-9]*+ (?:[_\-.:/][A-Za-z0-9]++)*+ )?""",
    re.VERBOSE,
)
_SEPARATOR = re.compile(r"[_\-.:/]+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MAX_TERM = 64
_MARKS = "".join(
    character for character in map(chr, range(0x300, 0x1E94B)) if unicodedata.combining(character)
)
# Normal text has at most 30 marks on a letter (UAX #15, stream-safe). Putting a run of them in
# order takes time in the square of its length.
_PILE = re.compile(f"([{_MARKS}]{{30}})[{_MARKS}]+")


def analyzer() -> tantivy.TextAnalyzer:
    """Lower case, no accents, no English function words, English stems; of what `expand` made.

    Terms of other scripts pass as they are; German or French words lose what English ones would,
    in query and text alike.
    """
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(_MAX_TERM))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


def distinct(analysed_by: tantivy.TextAnalyzer, text: str) -> list[str]:
    """The distinct terms of a text, in order of appearance; ``analysed_by`` is an `analyzer`."""
    return list(dict.fromkeys(analysed_by.analyze(expand(text))))


def humps(identifier: str) -> list[str]:
    """The words of a CamelCase identifier: ``KubeAPIDown`` → ``Kube``, ``API``, ``Down``."""
    return _HUMP.findall(identifier)


def expand(text: str) -> str:
    """The text in one spelling, Chinese, Japanese and Korean in terms, and the hidden words.

    Full and half width are one (NFKC). ``KubeletDown`` is found by ``kubelet``, ``down`` and by its
    whole name; ``kube_pod_info`` by its words (the tokenizer splits it) and as ``kubepodinfo``;
    these words stand behind the text.
    """
    if not text.isascii():
        text = cjk.separated(unicodedata.normalize("NFKC", _PILE.sub(r"\1", text)))
    hidden = " ".join(_hidden(text))
    return f"{text}\n{hidden}" if hidden else text


def _hidden(text: str) -> Iterator[str]:
    for found in filter(None, _UNUSUAL.findall(text)):
        parts = _SEPARATOR.split(found)
        if len(parts) > 1 and "_" in found:
            yield "".join(parts)
        for part in parts:
            words = humps(part)
            if len(words) > 1:
                yield from words
