"""How much of the log a reader has seen: up to a place, but for a few transactions. Pure.

A reader that stays below the oldest open transaction waits for any idle one, of any database of
the server. One that reads everything visible has to remember what was not visible yet: the
transactions that were open when it read. Those are the holes, and there are never more of them
than connections.
"""

from dataclasses import dataclass

from actors.runtime.message import Position


@dataclass(frozen=True, slots=True)
class Frontier:
    """Everything at or below ``upto`` has been read, but for the holes.

    Attributes:
        upto: the place.
        holes: one for each transaction at or below it that was open or is read in part; the
            sequence number says how far it is read. Ascending.
    """

    upto: Position
    holes: tuple[Position, ...] = ()

    @classmethod
    def at(cls, position: Position) -> "Frontier":
        """Everything at or below the position, without holes."""
        return cls(position)

    @property
    def settled(self) -> Position:
        """The highest position at or below which nothing is missing: where a cursor may stand."""
        return min(self.upto, self.holes[0]) if self.holes else self.upto

    def covers(self, position: Position) -> bool:
        """Whether what stands at this position has been read."""
        if position > self.upto:
            return False
        hole = next((one for one in self.holes if one.xid == position.xid), None)
        return hole is None or position.seq <= hole.seq
