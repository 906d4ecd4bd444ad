"""Patterns of event types: ``*`` stands for any run of characters, dots included. Pure."""

import re
from collections.abc import Iterable


def compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    """What matches, in whole, the types that one of the patterns means.

    A pattern is anybody's to write, so each piece between two stars is looked for once: the first
    place is as good as any later one. The time is bounded by the lengths of pattern and type.
    """
    return re.compile("|".join(map(_expression, patterns)), re.DOTALL)


def _expression(pattern: str) -> str:
    first, *others = map(re.escape, pattern.split("*"))
    if not others:
        return first
    *between, last = others
    return first + "".join(f"(?>.*?{piece})" for piece in between) + f".*{last}"
