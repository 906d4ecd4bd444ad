"""How many requests are left to whom. Pure: the clock and the shared count are given.

Time is cut into windows that all replicas see alike, and each holder has a quota a window. The
count of a window is shared; a replica draws some of it ahead, a lease, and serves from that
without asking again. So no more than the quota is ever served, and at least the quota less what
other replicas hold unused.
"""

import enum
import math
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One kind of quota.

    Attributes:
        name: in headers and metrics.
        quota: requests of one holder in a window, over all replicas.
        window_s: length of a window.
        lease: how many are drawn at a time.
        alone: the quota of one replica while the shared count is away.
        holders: remembered at most; who asked longest ago is forgotten.
    """

    name: str
    quota: int
    window_s: int
    lease: int
    alone: int
    holders: int

    @property
    def declared(self) -> str:
        """This policy in ``RateLimit-Policy``."""
        return f'"{self.name}";q={self.quota};w={self.window_s}'


class Standing(enum.Enum):
    """How a holder stands in the current window."""

    READY = "ready"
    """A request may be served at once."""
    EMPTY = "empty"
    """The lease is used up; more must be drawn first."""
    SPENT = "spent"
    """Nothing is left in this window."""


@dataclass(slots=True)
class Share:
    """What one holder has in one window.

    Attributes:
        held: drawn and not yet used.
        rest: left in the shared count when it was last seen.
        used_alone: drawn without the shared count.
    """

    window: int
    held: int = 0
    rest: int = 0
    used_alone: int = 0
    spent: bool = False


class Shares:
    """The shares of all holders of one policy in this replica."""

    def __init__(self, policy: Policy) -> None:
        """Nobody has drawn anything."""
        self.policy = policy
        self._shares: OrderedDict[str, Share] = OrderedDict()

    def __len__(self) -> int:
        """How many holders are remembered."""
        return len(self._shares)

    def window(self, now: float) -> int:
        """The number of the window that holds this moment, in seconds since 1970."""
        return int(now // self.policy.window_s)

    def ends_in_s(self, now: float) -> int:
        """Whole seconds until the window is over; at least one."""
        return max(1, math.ceil((self.window(now) + 1) * self.policy.window_s - now))

    def standing(self, holder: str, now: float) -> Standing:
        """Whether a request of the holder may be served."""
        share = self._share(holder, now)
        if share.held > 0:
            return Standing.READY
        return Standing.SPENT if share.spent else Standing.EMPTY

    def draw(self, holder: str, window: int, asked: int, total: int) -> None:
        """The shared count was raised by ``asked`` and now is ``total``.

        What lies above the quota was not granted. An answer that is about a window that is over
        changes nothing.
        """
        share = self._shares.get(holder)
        if share is None:
            share = self._new(holder, window)
        if share.window != window:
            return
        share.rest = max(0, self.policy.quota - total)
        share.held += min(asked, max(0, asked - (total - self.policy.quota)))
        share.spent = share.rest == 0

    def draw_alone(self, holder: str, now: float) -> None:
        """The shared count is away: the holder gets a lease of this replica's own quota."""
        share = self._share(holder, now)
        granted = min(self.policy.lease, self.policy.alone - share.used_alone)
        share.used_alone += granted
        share.held += granted
        share.rest = self.policy.alone - share.used_alone  # more may be had once it is back

    def left(self, holder: str, now: float) -> int:
        """How many requests the holder has left, as far as this replica knows."""
        share = self._share(holder, now)
        return share.held + share.rest

    def _share(self, holder: str, now: float) -> Share:
        return self.share(holder, self.window(now))

    def share(self, holder: str, window: int) -> Share:
        """The holder's share in a window, whose number never falls."""
        share = self._shares.get(holder)
        if share is None or share.window != window:
            return self._new(holder, window)
        self._shares.move_to_end(holder)
        return share

    def _new(self, holder: str, window: int) -> Share:
        share = self._shares[holder] = Share(window)
        self._shares.move_to_end(holder)
        if len(self._shares) > self.policy.holders:
            self._shares.popitem(last=False)
        return share
