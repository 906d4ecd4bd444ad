"""What the status of a delivery's answer means. Pure; the answer's body is never read."""

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime

from actors.errors import ElderGuildError, Gone, Overloaded
from actors.outbound.client import Unreachable
from actors.settings import WebhookSettings

_RECEIVER = "the receiver"


class Declined(ElderGuildError):
    """The receiver got it and said no."""

    code = "declined"

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"the receiver answered {self.status}"


def failure_of(
    status: int, headers: Mapping[str, str], now: datetime, settings: WebhookSettings
) -> ElderGuildError | None:
    """Why the delivery failed; None: it did not.

    A 502, a 504, or a 503 that does not say for how long, comes from whoever stands before the
    receiver, and says that nobody is there: nobody said no. Everything else that is not 2xx, a
    redirect among it, is a no.

    Args:
        status: of the answer.
        headers: by name in lower case.
        now: for a ``Retry-After`` that names a time.
        settings: pauses.
    """
    match status:
        case 410:
            return Gone(_RECEIVER)
        case 429:
            return Overloaded(_pause_s(headers.get("retry-after", ""), now, settings), _RECEIVER)
        case 503 if "retry-after" in headers:
            return Overloaded(_pause_s(headers["retry-after"], now, settings), _RECEIVER)
        case 502 | 503 | 504:
            return Unreachable(f"the receiver is away: {status}")
        case _ if 200 <= status < 300:
            return None
        case _:
            return Declined(status)


def _pause_s(given: str, now: datetime, settings: WebhookSettings) -> float:
    """Seconds from a ``Retry-After`` in either of its forms."""
    pause_s = settings.retry_after_s
    if given.isascii() and given.isdigit():
        pause_s = float(given[:12])
    elif given:
        try:
            until = email.utils.parsedate_to_datetime(given)
        except (ValueError, OverflowError):
            pass
        else:
            aware = until if until.tzinfo else until.replace(tzinfo=UTC)
            pause_s = (aware - now).total_seconds()
    return min(max(pause_s, 0.0), settings.max_retry_after_s)
