"""When a cron expression is due next, in its own time zone. Pure.

Twice a year a local clock jumps. A time that the clock leaves out counts right after the jump. One
that comes twice counts once, the first time; but an expression that names no hour, such as every
ten minutes, goes on through both.
"""

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from actors.errors import ValidationError

_WORD = re.compile("jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun")
_FIELDS = 5
_LONGEST = 200
_LOOKED_AT = 100
"""Firings that are looked at to find the shortest time between two."""


def next_time(cron: str, timezone: str, after: datetime) -> datetime:
    """The first time later than ``after``, in UTC.

    Raises:
        ValidationError: no such zone, no such expression, or one that never comes.
    """
    return next(_times(cron, timezone, after))


def check(cron: str, timezone: str, after: datetime, min_gap_s: float) -> None:
    """Refuses what can not be kept.

    Raises:
        ValidationError: as `next_time`, or two firings lie closer together than ``min_gap_s``.
    """
    times = list(itertools.islice(_times(cron, timezone, after), _LOOKED_AT))
    shortest = timedelta(seconds=min_gap_s)
    if any(later - earlier < shortest for earlier, later in itertools.pairwise(times)):
        raise ValidationError("cron", f"comes more often than every {min_gap_s:g} s")


def _times(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    zone, fields = _zone(timezone), _fields(cron)
    at_any_hour = fields[1].startswith("*")
    try:
        calendar = croniter(" ".join(fields), after.astimezone(zone))
        while True:
            found = calendar.get_next(datetime)
            if at_any_hour or not found.fold:
                yield found.astimezone(UTC)
    except (CroniterError, OverflowError) as error:
        raise ValidationError("cron", "is not an expression that ever comes") from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # also a name that leads out of its folder
        raise ValidationError("timezone", "is not one we know") from error


def _fields(cron: str) -> list[str]:
    """Five fields of numbers, names of months and days, and ``* , - /``; nothing at random."""
    fields = cron.lower().split()
    words = re.findall(r"[a-z]+", cron.lower())
    if (
        len(cron) > _LONGEST
        or len(fields) != _FIELDS
        or not all(map(_WORD.fullmatch, words))
        or not re.fullmatch(r"[a-z0-9*,/\- ]+", " ".join(fields))
    ):
        raise ValidationError("cron", "is not five fields of numbers, names and * , - /")
    return fields
