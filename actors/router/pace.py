"""How a receiver that is not ours is treated: not too often, and left alone while it fails. Pure.

The attempts of one event are counted elsewhere. Here the receiver is looked at as a whole: when
one request after another fails, whatever they carry, it is the receiver that is down. Trying ten
thousand events one after the other would then send them all to the dead letters. So everything
rests for a while, and then a single request at a time shows whether the receiver is back.
"""

_ROUNDING = 1e-9


class Pace:
    """How many requests may begin, by the caller's monotonic clock, in seconds.

    Without arguments: any number, at any time; what is our own needs no such care.

    Args:
        rest_after: so many failures in a row begin a rest; None: there are no rests.
        rest_s: the first rest; each further one is twice as long.
        rest_max_s: the longest.
        at_once: requests under way; None: as many as there are. Also an attribute.
        per_minute: requests; None: any number. A second's worth may go at once.
    """

    def __init__(
        self,
        *,
        rest_after: int | None = None,
        rest_s: float = 0.0,
        rest_max_s: float = 0.0,
        at_once: int | None = None,
        per_minute: float | None = None,
    ) -> None:
        self._rest_after = rest_after
        self._rest_s = rest_s
        self._rest_max_s = rest_max_s
        self.at_once = at_once
        self._per_s = None if per_minute is None else per_minute / 60
        self._credit = self._most_credit
        self._credit_at: float | None = None
        self._failures = 0
        self._rests = 0
        self._rests_until = float("-inf")

    @property
    def is_down(self) -> bool:
        """Whether it has failed again and again, and nothing has succeeded since."""
        return self._rests > 0

    def room(self, now: float, under_way: int) -> int | None:
        """How many more requests may begin now; None: any number."""
        if now < self._rests_until:
            return 0
        most = 1 if self._rests else self.at_once
        room = None if most is None else max(0, most - under_way)
        if self._per_s is None:
            return room
        earned = max(0, int(self._earned(now) + _ROUNDING))
        return earned if room is None else min(room, earned)

    def opens_at(self, now: float) -> float | None:
        """When time alone will make room; None: there is some, or a request must end first."""
        if now < self._rests_until:
            return self._rests_until
        if self._per_s is None:
            return None
        missing = 1 - self._earned(now)
        return now + missing / self._per_s if missing > _ROUNDING else None

    def begun(self, now: float) -> None:
        """A request begins."""
        if self._per_s is not None:
            self._credit = self._earned(now) - 1
            self._credit_at = now

    def succeeded(self) -> None:
        """The receiver is there: whatever was held against it is forgotten."""
        self._failures = self._rests = 0

    def failed(self, now: float, asked_s: float | None = None) -> float | None:
        """A request failed; answers how long everything rests, if a rest begins.

        Args:
            now: the present.
            asked_s: for how long the receiver wants to be left alone, if it said so.
        """
        if self._rest_after is None:
            return None
        self._failures += 1
        rest_s = asked_s or 0.0
        if now >= self._rests_until:
            if self._rests or self._failures >= self._rest_after:
                rest_s = max(rest_s, self._own_rest_s())
            self._rests += rest_s > 0
        if now + rest_s <= max(now, self._rests_until):
            return None
        self._rests_until = now + rest_s
        return rest_s

    def _own_rest_s(self) -> float:
        return min(self._rest_max_s, self._rest_s * 2.0 ** min(self._rests, 30))

    @property
    def _most_credit(self) -> float:
        return 0.0 if self._per_s is None else max(1.0, self._per_s)

    def _earned(self, now: float) -> float:
        if self._per_s is None or self._credit_at is None:
            return self._credit
        return min(self._most_credit, self._credit + (now - self._credit_at) * self._per_s)
