"""How often a part may die before the operator must look: a pure decision on numbers."""

from collections import deque


class RestartBudget:
    """So many restarts within a window, each later than the one before."""

    def __init__(self, *, limit: int, window_s: float, delay_s: float, delay_max_s: float) -> None:
        """Nothing is spent yet.

        Args:
            limit: restarts within the window.
            window_s: a restart older than this is forgotten.
            delay_s: before the first restart; doubles with each one in the window.
            delay_max_s: the doubling's end.
        """
        self._limit = limit
        self._window_s = window_s
        self._delay_s = delay_s
        self._delay_max_s = delay_max_s
        self._spent: deque[float] = deque()

    def spend(self, now_s: float) -> float | None:
        """Takes one restart; how long to wait before it, or None when the budget is used up."""
        while self._spent and self._spent[0] <= now_s - self._window_s:
            self._spent.popleft()
        if len(self._spent) >= self._limit:
            return None
        delay_s = self._delay_s * float(2 ** min(len(self._spent), 30))
        self._spent.append(now_s)
        return min(delay_s, self._delay_max_s)
