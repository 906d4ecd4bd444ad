"""What an expression of a filter is made of, and what it costs at most. Pure.

The library stops at nothing and does not say what it will take. So an expression's words are
counted, each by how many macros it stands in, and every word is taken for the dearest there is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

_MACROS = frozenset({"all", "exists", "exists_one", "existsOne"})
_WORD = re.compile(
    r"""
    (?P<gap> \s+ | //[^\n]* )
  | (?P<text> [bB]?[rR](?: \"\"\".*?\"\"\" | '''.*?''' | "[^"\n\r]*" | '[^'\n\r]*' )
            | [bB]?(?: \"\"\"(?:\\.|[^\\])*?\"\"\" | '''(?:\\.|[^\\])*?'''
                     | "(?:\\.|[^"\\\n\r])*" | '(?:\\.|[^'\\\n\r])*' ) )
  | [A-Za-z_][A-Za-z0-9_]* | [0-9]+ | .
    """,
    re.VERBOSE | re.DOTALL,
)

# A step is about 0.1 µs.
_STEPS_A_VALUE = 100  # until the library has made a value of its own of one of Python's
_CHARS_A_STEP = 1024  # of texts that are searched
_VALUES_A_STEP = 2  # of lists that are compared


class Load(NamedTuple):
    """How much an expression is evaluated on.

    Attributes:
        values: texts, numbers, names of members, ...
        chars: of texts and names.
        widest: members of the largest list or object.
    """

    values: int
    chars: int
    widest: int


NOTHING = Load(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an expression is made of.

    Attributes:
        length: characters.
        words: how many of them stand outside of macros, within one, within two, ...
        whole: which of these read ``data``, and not only what a macro takes out of it.
        joins: how often something is added, which makes longer texts and lists.
        items: members of lists that it spells out, at most.
        methods: what it calls on values.
        bound: names that its macros give.
        members: names of those members of ``data`` that it reads; None: all.
    """

    length: int
    words: tuple[int, ...]
    whole: frozenset[int]
    joins: int
    items: int
    methods: frozenset[str]
    bound: frozenset[str]
    members: frozenset[str] | None

    @property
    def nesting(self) -> int:
        """How many macros stand within each other."""
        return len(self.words) - 1

    def steps(self, load: Load) -> int:
        """What an evaluation costs at most.

        What a macro takes out of a list is together as much as the list: all its rounds search no
        more than one word outside does, unless they go back to ``data``.
        """
        grown: int = (1 + self.joins) ** len(self.words)
        rounds = max(load.widest, self.items) * grown
        chars = (load.chars + self.length) * grown // _CHARS_A_STEP
        searched = chars + load.values * grown // _VALUES_A_STEP
        steps = load.values * _STEPS_A_VALUE
        for depth, words in enumerate(self.words):
            turns: int = rounds**depth
            whole = turns if depth in self.whole else turns // rounds * self.items
            steps += words * (turns + whole * searched)
        return steps


def shape_of(source: str) -> Shape:
    """Of an expression that compiles: its brackets are known to match."""
    written = _written(source)
    words, whole, methods, bound = [0], {0}, set(), set()
    within = [False]
    for index, word in enumerate(written):
        if word in ("(", "[", "{"):
            called = _method(written, index)
            methods.add(called)
            within.append(called in _MACROS)
            if within[-1]:
                bound.add(written[index + 1])
        depth = sum(within)
        words += [0] * (depth + 1 - len(words))
        words[depth] += 1
        if word == "data":
            whole.add(depth)
        if word in (")", "]", "}"):
            within.pop()
    return Shape(
        length=len(source),
        words=tuple(words),
        whole=frozenset(whole),
        joins=written.count("+"),
        items=written.count(",") + 1,
        methods=frozenset(methods - {""}),
        bound=frozenset(bound),
        members=_members(written),
    )


def load_of(values: Mapping[str, Any], deepest: int, most_steps: int) -> Load | None:
    """How much there is; None: more than could be afforded, or deeper than ``deepest``."""
    number, chars, widest = 0, 0, 0
    level: list[Any] = list(values.values())
    for _ in range(deepest + 1):
        number += len(level)
        if number * _STEPS_A_VALUE > most_steps:
            return None
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                chars += len(value)
            elif isinstance(value, dict):
                widest = max(widest, len(value))
                below += value
                below += value.values()
            elif isinstance(value, list):
                widest = max(widest, len(value))
                below += value
        if not below:
            return Load(number, chars, widest)
        level = below
    return None


def _written(source: str) -> list[str]:
    """Its words, signs and texts; each text as one quotation mark: what it says is no code."""
    return [
        '"' if match.lastgroup == "text" else match[0]
        for match in _WORD.finditer(source)
        if match.lastgroup != "gap"
    ]


def _method(written: Sequence[str], index: int) -> str:
    """What is called on a value where this bracket opens; nothing where it is no such call."""
    is_call = index >= 2 and written[index] == "(" and written[index - 2] == "."
    return written[index - 1] if is_call else ""


def _members(written: Sequence[str]) -> frozenset[str] | None:
    found = set()
    for index, word in enumerate(written):
        if word != "data" or written[index - 1 : index] == ["."]:
            continue
        dot, name, after = [*written[index + 1 : index + 4], "", "", ""][:3]
        if dot != "." or after == "(":
            return None
        found.add(name)
    return frozenset(found)
