"""What a puller gets, and the names of what is on loan. Pure."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from actors.bus.messages import DeliveryPolicy
from actors.errors import ValidationError

_ACK_ID = re.compile(
    r"([0-9]{1,18})-([0-9]{1,18})\.([0-9]{1,9})(?:\.([a-z]+_[0-9a-hjkmnp-tv-z]{26}))?"
)


class Loan(NamedTuple):
    """One attempt of one line.

    Attributes:
        replay_id: of the replay it belongs to; None: the subscription itself.
    """

    xid: int
    seq: int
    attempt: int
    replay_id: str | None = None

    def __str__(self) -> str:
        plain = f"{self.xid}-{self.seq}.{self.attempt}"
        return plain if self.replay_id is None else f"{plain}.{self.replay_id}"


def loans(ack_ids: Sequence[str], most: int) -> list[Loan]:
    """What these ids name, each once.

    Raises:
        ValidationError: there are none, too many, or one is not of ours.
    """
    if not 1 <= len(ack_ids) <= most:
        raise ValidationError("ack_ids", f"are not between 1 and {most}")
    found = []
    for index, ack_id in enumerate(dict.fromkeys(ack_ids)):
        match = _ACK_ID.fullmatch(ack_id)
        if match is None:
            raise ValidationError(f"ack_ids[{index}]", "was not given out by a pull")
        xid, seq, attempt = map(int, match.groups()[:3])
        found.append(Loan(xid, seq, attempt, match.group(4)))
    return found


def pause_s(policy: DeliveryPolicy, attempt: int) -> float:
    """How long a line rests after this attempt of it has failed; attempts count from 1."""
    return policy.backoff_s[min(attempt, len(policy.backoff_s)) - 1]


class Shares:
    """How many of each pull are routine even while urgent ones wait.

    A share of a pull of few is less than one: it is saved up until it makes a whole one, so that
    who pulls one by one gets a routine event now and then, too.
    """

    def __init__(self, share: float, most: int) -> None:
        self._share = share
        self._most = most
        self._saved: dict[str, float] = {}

    def routine(self, subscription_id: str, number: int) -> int:
        """Of ``number`` events of this subscription, so many are kept for the routine lane."""
        saved = self._saved.pop(subscription_id, 0.0) + number * self._share
        whole = min(number, math.floor(saved))
        if len(self._saved) >= self._most:
            self._saved.pop(next(iter(self._saved)))  # the one not pulled for longest
        self._saved[subscription_id] = min(saved - whole, 1.0)
        return whole
