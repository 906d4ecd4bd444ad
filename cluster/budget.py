"""How often a part may die before it is left alone for a while: pure decisions on numbers."""

from collections import deque


class RestartBudget:
    """So many restarts within a window, each later than the one before; then a rest."""

    def __init__(
        self,
        *,
        limit: int,
        window_s: float,
        delay_s: float,
        delay_max_s: float,
        rest_s: float,
        rest_max_s: float,
    ) -> None:
        """Nothing is spent yet.

        Args:
            limit: restarts within the window.
            window_s: a restart older than this is forgotten.
            delay_s: before the first restart; doubles with each one in the window.
            delay_max_s: the doubling's end.
            rest_s: the first rest; doubles with each one that follows soon.
            rest_max_s: the doubling's end.
        """
        self._limit = limit
        self._window_s = window_s
        self._delay_s = delay_s
        self._delay_max_s = delay_max_s
        self._rest_s = rest_s
        self._rest_max_s = rest_max_s
        self._spent: deque[float] = deque()
        self._rests = 0
        self._rested_at = float("-inf")

    def spend(self, now_s: float) -> float | None:
        """Takes one restart; how long to wait before it, or None when the budget is used up."""
        while self._spent and self._spent[0] <= now_s - self._window_s:
            self._spent.popleft()
        if len(self._spent) >= self._limit:
            return None
        delay_s = self._delay_s * float(2 ** min(len(self._spent), 30))
        self._spent.append(now_s)
        return min(delay_s, self._delay_max_s)

    def rest(self, now_s: float) -> float:
        """How long to leave it alone now that the budget is used up; a new budget begins then."""
        if now_s - self._rested_at > self._window_s:
            self._rests = 0
        rest_s = min(self._rest_s * 2.0 ** min(self._rests, 30), self._rest_max_s)
        self._spent.clear()
        self._rests += 1
        self._rested_at = now_s + rest_s
        return rest_s
