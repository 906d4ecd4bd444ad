"""Cursors: the key of a page's last row, opaque to clients, so that inserts shift nothing."""

import base64
import binascii
from datetime import datetime

from actors.errors import ValidationError

_SEPARATOR = "\x1f"


def encode(*key: str) -> str:
    """The cursor behind a row with this key."""
    joined = _SEPARATOR.join(key).encode()
    return base64.urlsafe_b64encode(joined).decode().rstrip("=")


def decode(cursor: str, parts: int) -> tuple[str, ...]:
    """The key that `encode` was given.

    Raises:
        ValidationError: the text is no cursor of this list.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = tuple(base64.urlsafe_b64decode(padded).decode().split(_SEPARATOR))
    except (binascii.Error, ValueError) as error:
        raise foreign() from error
    if len(key) != parts or any("\x00" in part for part in key):
        raise foreign()
    return key


def moment(text: str) -> datetime:
    """A time that is part of a key, from its ISO form with an offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise foreign() from error
    if found.tzinfo is None:
        raise foreign()
    return found


def number(text: str) -> int:
    """A 32-bit number that is part of a key."""
    if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 10:
        raise foreign()
    return int(text)


def foreign() -> ValidationError:
    """The answer to a cursor that is not ours."""
    return ValidationError("cursor", "is not one of this list")
