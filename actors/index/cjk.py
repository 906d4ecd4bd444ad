"""Words of scripts that are written without spaces: Chinese, Japanese, Korean. Pure.

Two neighbouring characters are a term, as in Lucene's CJK analysis: what stands in a query stands
in the text in the same pairs, wherever words begin. Pairs do not cross from one script to another,
for there a word usually begins or ends: 接続プール枯渇 is 接続, プー, ール and 枯渇.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

HAN = "々〆〇㐀-䶿一-鿿\uf900-\ufaff\U00020000-\U0003ffff"
HIRAGANA = "ぁ-ゖゝゞ"
KATAKANA = "ァ-ヺー-ヿ"
HANGUL = "가-힣"
ANY = HAN + HIRAGANA + KATAKANA + HANGUL
"""Inside of a character class of a regular expression."""
WIDE = ANY + "\u3001-\u303f\uff01-\uffef"
"""The same with their punctuation, and the other width of letters; without the wide space."""

_RUN = re.compile(f"[{HAN}]+|[{HIRAGANA}]+|[{KATAKANA}]+|[{HANGUL}]+")
_IS_HIRAGANA = re.compile(f"[{HIRAGANA}]")
_IS_KATAKANA = re.compile(f"[{KATAKANA}]")
_LONG_SOUND = "ー"
_LONG_WORD = 4  # characters from which on a last long sound is a matter of spelling

# Pairs that make grammar and no meaning, as the English stop words do.
_GRAMMAR = frozenset(
    pair
    for line in (
        "ある あり いた いて いる おり から こと この これ させ され した して しま する せん",
        "その それ ため だけ であ てい でい です でし では でも との とは ない など なり なる",
        "には ので のに のみ ます ませ また まし まで もの よう より れた れて れば れる",
    )
    for pair in line.split()
)


def separated(text: str) -> str:
    """The text with every run of these scripts replaced by its terms, spaces between them.

    A lone character is a term of its own, except hiragana, which alone is grammar.
    """
    return _RUN.sub(lambda run: f" {' '.join(_terms(run[0]))} ", text)


def _terms(run: str) -> Iterator[str]:
    if _IS_KATAKANA.match(run) and len(run) >= _LONG_WORD:
        run = run.rstrip(_LONG_SOUND) or run  # サーバー and サーバ are one word
    hiragana = _IS_HIRAGANA.match(run) is not None
    if len(run) == 1:
        if not hiragana:
            yield run
        return
    for pair in map("".join, pairwise(run)):
        if not (hiragana and pair in _GRAMMAR):
            yield pair
