"""How far the dense leg of one guild is behind the words. Pure."""

from heapq import heappop, heappush

from actors.runtime.message import Position


def beginning(epoch: int) -> Position:
    """Below every event: since when those wait of whom nobody knows since when."""
    return Position(0, 0, epoch)


class DenseBacklog:
    """Sources with a passage that has no vector, and the position of what made them wait."""

    def __init__(self) -> None:
        self._since: dict[str, Position] = {}
        self._order: list[tuple[Position, str]] = []  # a heap; what is done leaves it late

    def __len__(self) -> int:
        return len(self._since)

    def waits(self, source_id: str, position: Position) -> None:
        """It has passages without a vector; a source that waits already waits since then."""
        if source_id not in self._since:
            self._since[source_id] = position
            heappush(self._order, (position, source_id))

    def done(self, source_id: str) -> None:
        """It has all its vectors, or it is gone."""
        self._since.pop(source_id, None)

    def has(self, position: Position) -> bool:
        """Whether nothing at or below the position waits."""
        first = self._first()
        return first is None or first > position

    def reached(self, position: Position) -> Position:
        """The highest place at or below ``position`` below which nothing waits.

        Where something waits since the beginning of the log, that is the beginning itself.
        """
        first = self._first()
        if first is None or first > position:
            return position
        if first.seq == 0:
            return first
        return Position(first.xid, first.seq - 1, first.epoch)

    def _first(self) -> Position | None:
        while self._order and self._since.get(self._order[0][1]) != self._order[0][0]:
            heappop(self._order)
        return self._order[0][0] if self._order else None
