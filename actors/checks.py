"""Checks of values that several sages make the same way. Pure; they raise `ValidationError`."""

import math
import re
from collections.abc import Iterable, Mapping

from actors.errors import ValidationError

MAX_TAGS = 10
MAX_LABELS = 64
MAX_REFERENCES = 100
MAX_PAGE = 100
_WORD = 200
_LABEL_VALUE = 1024

# PostgreSQL stores no NUL, UTF-8 knows no lone surrogate.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def text(field: str, value: str, longest: int, *, required: bool = False) -> str:
    """The value, stripped, at most ``longest`` characters; not empty where ``required``."""
    value = storable(field, value).strip()
    if required and not value:
        raise ValidationError(field, "is blank")
    if len(value) > longest:
        raise ValidationError(field, f"is longer than {longest} characters")
    return value


def storable(field: str, value: str) -> str:
    """The value, unchanged; it holds neither NUL nor half a character."""
    if _UNSTORABLE.search(value):
        raise ValidationError(field, "holds a character that is none")
    return value


def sought(field: str, value: str | None) -> str | None:
    """What a list is filtered by; None: by nothing."""
    return None if value is None else storable(field, value)


def tags(values: Iterable[str]) -> tuple[str, ...]:
    """At most ten tags, stripped, each once, in the order given."""
    return words("tags", values, MAX_TAGS)


def references(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Ids of other things, each once, in the order given."""
    return words(field, values, MAX_REFERENCES)


def words(field: str, values: Iterable[str], most: int) -> tuple[str, ...]:
    """At most ``most`` short texts, stripped, not blank, each once, in the order given."""
    found = tuple(dict.fromkeys(text(field, value, _WORD, required=True) for value in values))
    if len(found) > most:
        raise ValidationError(field, f"are more than {most}")
    return found


def labels(values: Mapping[str, str]) -> dict[str, str]:
    """Names with their values, as alerts have them."""
    if len(values) > MAX_LABELS:
        raise ValidationError("labels", f"are more than {MAX_LABELS}")
    return {
        text("labels", name, _WORD, required=True): text("labels", value, _LABEL_VALUE)
        for name, value in values.items()
    }


def fraction(field: str, value: float) -> float:
    """A number from 0 to 1."""
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise ValidationError(field, "is not between 0 and 1")
    return value


def page_size(limit: int) -> int:
    """How many a list may answer at once."""
    if not 1 <= limit <= MAX_PAGE:
        raise ValidationError("limit", f"is not between 1 and {MAX_PAGE}")
    return limit
