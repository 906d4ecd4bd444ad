"""How much of the log a reader has seen: up to a place, but for a few transactions. Pure.

A reader that stays below the oldest open transaction waits for any idle one, of any database of
the server. One that reads everything visible has to remember what was not visible yet: the
transactions that were open when it read. Those are the holes, and there are never more of them
than connections.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.runtime.message import Position


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a statement saw of the server's transactions.

    Attributes:
        xmax: the lowest transaction id that was not yet given out.
        open: ids below it that were neither committed nor rolled back.
    """

    xmax: int
    open: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """From PostgreSQL's text form of a `pg_snapshot`: ``xmin:xmax:xip,xip``."""
        _, xmax, open_ids = text.split(":")
        return cls(int(xmax), frozenset(map(int, filter(None, open_ids.split(",")))))


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

    def after(self, read: Sequence[Position], snapshot: Snapshot, *, truncated: bool) -> "Frontier":
        """The frontier once these lines have been read behind this one.

        Args:
            read: positions of all that was visible behind this frontier, ascending; a prefix of
                it when ``truncated``. Only the last one is looked at.
            snapshot: of the statement that read them.
            truncated: there was more.
        """
        epoch = self.upto.epoch
        if not truncated:
            # All that is committed is read, also in the former holes.
            upto = max(self.upto, Position(snapshot.xmax, 0, epoch))
            holes = {}
        else:
            last = read[-1]
            upto = max(self.upto, last)
            holes = {hole.xid: hole for hole in self.holes if hole.xid > last.xid}
            if last < upto:
                # The page ends inside a former hole; what is left of it stands behind ``last``.
                holes[last.xid] = last
        for xid in snapshot.open:
            if xid < upto.xid:
                holes.setdefault(xid, Position(xid, 0, epoch))
        return Frontier(upto, tuple(sorted(holes.values())))
