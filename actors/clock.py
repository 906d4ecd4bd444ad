"""Time and identity, injected wherever they are used so that tests own both."""

import hashlib
import os
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

Now = Callable[[], datetime]
NewId = Callable[[str], str]
NewIds = Callable[[str, int], Sequence[str]]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32, lower case
ID_PATTERN = r"[a-z]+_[0-9a-hjkmnp-tv-z]{26}"
_ID = re.compile(ID_PATTERN)
_TEN_BITS = [first + second for first in _ALPHABET for second in _ALPHABET]
_FIVE_BITS = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))
_ENDS_AT_ONCE = 256

# Asking the system lets go of the interpreter, and then waits for whichever thread computes. While
# documents are stored that took a tenth of the event loop's time, so it is asked for many at once.
_ends: deque[str] = deque()
os.register_at_fork(after_in_child=_ends.clear)  # or two processes would make the same ids


def now() -> datetime:
    """The current time, UTC, cut to the millisecond that the API shows."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def is_id(text: str) -> bool:
    """Whether it has the form of an id of ours, so that nobody's secret is taken for one."""
    return _ID.fullmatch(text) is not None


def new_id(prefix: str) -> str:
    """A fresh id: ``prefix_`` and 26 characters that sort by creation time.

    48 bits of milliseconds, then 80 random bits (the layout of a ULID). The order helps people
    and paging; no correctness rests on it.
    """
    return f"{prefix}_{_begin(time.time_ns() // 1_000_000)}{_end()}"


def new_ids(prefix: str, count: int) -> list[str]:
    """Fresh ids of one moment, like those of `new_id` but much cheaper each."""
    begin = f"{prefix}_{_begin(time.time_ns() // 1_000_000)}"
    return [begin + end for end in _fresh_ends(count)]


def derived_id(prefix: str, at: datetime, *parts: str) -> str:
    """The id that this cause always yields, so that doing the work twice names one thing.

    Args:
        prefix: kind of the id, such as ``task``.
        at: time of the cause (an event's time), never the current time.
        parts: what identifies the thing within its cause, for example an event id and a step.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    begin = _begin(int(at.timestamp() * 1000))
    return f"{prefix}_{begin}{_forty_bits(digest[:5])}{_forty_bits(digest[5:10])}"


@lru_cache(maxsize=4)
def _begin(milliseconds: int) -> str:
    """The first ten characters of an id, of 48 bits; many are made in one millisecond."""
    value = milliseconds & (1 << 48) - 1
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(45, -1, -5))


def _forty_bits(five: bytes) -> str:
    value = int.from_bytes(five)
    return (
        _TEN_BITS[value >> 30]
        + _TEN_BITS[value >> 20 & 1023]
        + _TEN_BITS[value >> 10 & 1023]
        + _TEN_BITS[value & 1023]
    )


def _end() -> str:
    """The last sixteen characters of an id, of 80 random bits, given to nobody else."""
    try:
        return _ends.pop()  # two threads never get the same one
    except IndexError:
        last, *others = _fresh_ends(_ENDS_AT_ONCE)
        _ends.extend(others)
        return last


def _fresh_ends(count: int) -> list[str]:
    text = secrets.token_bytes(16 * count).translate(_FIVE_BITS).decode()
    return [text[at : at + 16] for at in range(0, 16 * count, 16)]
