"""Cursors: where a page ends, in words only the sage understands."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from actors.errors import ValidationError
from actors.incident.messages import Incident

LIMIT_MAX = 100

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class After:
    """A place in the list of incidents, latest first: what follows is older, or has a lower id."""

    detected_at: datetime
    incident_id: str


def checked_limit(limit: int) -> int:
    """The limit of a page.

    Raises:
        ValidationError: it is not between 1 and 100.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise ValidationError("limit", f"must be between 1 and {LIMIT_MAX}")
    return limit


def cursor_behind(incident: Incident) -> str:
    """The cursor that leads to what follows this incident."""
    microseconds = (incident.detected_at - _EPOCH) // _MICROSECOND
    return encode([microseconds, incident.incident_id])


def after_cursor(cursor: str | None) -> After | None:
    """The place that ``cursor_behind`` named; None: the beginning.

    Raises:
        ValidationError: the cursor is not one of ours.
    """
    if cursor is None:
        return None
    match decode(cursor):
        case [int(microseconds), str(incident_id)] if abs(microseconds) < 1 << 56:
            return After(_EPOCH + microseconds * _MICROSECOND, incident_id)
        case _:
            raise _foreign()


def after_fingerprint(cursor: str | None) -> str:
    """The fingerprint behind which a page of alerts begins; empty: the first page.

    Raises:
        ValidationError: the cursor is not one of ours.
    """
    if cursor is None:
        return ""
    match decode(cursor):
        case [str(fingerprint)]:
            return fingerprint
        case _:
            raise _foreign()


def encode(place: list[int | str]) -> str:
    """A place as text that is safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def decode(cursor: str) -> object:
    """What ``encode`` was given.

    Raises:
        ValidationError: the cursor is not one of ours.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise _foreign() from error


def _foreign() -> ValidationError:
    return ValidationError("cursor", "is not one that a list here has answered")
