"""The passwords that are tried first, because so many people have them. Pure."""

import functools
import re

_MOST_USED = 10_000
_ENDS = re.compile(r"^[^a-z]+|[^a-z]+$")


def is_common(password: str) -> bool:
    """Whether it is one of the 10,000 most used, or hardly more than one of them.

    One of them in other case, with digits and signs around it, or several times over counts too:
    that is how short ones are made long enough.
    """
    lowered = password.lower()
    bare = _ENDS.sub("", lowered)
    known = _most_used()
    return (
        lowered in known or bare in known or _repeated(lowered) in known or _repeated(bare) in known
    )


def _repeated(text: str) -> str:
    """The shortest text that this one is a repetition of."""
    return text[: (text + text).find(text, 1)] if text else text


@functools.cache
def _most_used() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # large, and seldom needed

    return frozenset(FREQUENCY_LISTS["passwords"][:_MOST_USED])
