"""Cursors: the key of a page's last row, opaque to clients, so that inserts shift nothing."""

import base64
import binascii
import re
from datetime import UTC, datetime

from actors.errors import ValidationError

_SEPARATOR = "\x1f"
_NUMBER = re.compile(r"[0-9]{1,10}")


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
        if found.tzinfo is None:
            raise foreign()
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise foreign() from error


def number(text: str) -> int:
    """A number that is part of a key; it fits an integer column."""
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 31:
        raise foreign()
    return int(text)


def foreign() -> ValidationError:
    """The answer to a cursor that is not ours."""
    return ValidationError("cursor", "is not one of this list")
