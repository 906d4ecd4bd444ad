"""Where in the log the channels are. Those that have read equally far move together. Pure.

With thousands of subscriptions most have read everything and want nothing of it: they share one
place, which moves for all of them at once, and none of them is looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from actors.storage.frontier import Frontier


@dataclass(slots=True, eq=False)
class Place:
    """How far everybody here has read."""

    frontier: Frontier


class Reader(Protocol):
    """Somebody who reads the log."""

    place: Place

    def wants_more(self) -> bool:
        """Whether there is room for a page."""


class Places:
    """Who stands where.

    Whoever shares a place has room for the next page; who has none stands alone until there is.

    Attributes:
        head: the place where everybody stands in normal running. It is there, and read, also
            when nobody is.
    """

    def __init__(self, head: Frontier) -> None:
        self.head = Place(head)
        self._readers: dict[Place, set[Reader]] = {self.head: set()}

    def begin(self, head: Frontier) -> None:
        """The head is here, and all who stand equally far stand together."""
        self.head.frontier = head
        together = {head: self.head}
        for place in list(self._readers):
            first = together.setdefault(place.frontier, place)
            if first is not place:
                self._join(first, place)

    def put(self, reader: Reader) -> None:
        """Somebody new, at a place of its own."""
        self._readers[reader.place] = {reader}

    def remove(self, reader: Reader) -> None:
        """Somebody who reads no more."""
        self._readers[reader.place].discard(reader)
        self._tidy(reader.place)

    def to_read(self, at_most: int) -> list[Place]:
        """The head, and those of the others that have fallen back furthest."""
        hungry = [
            place
            for place, readers in self._readers.items()
            if place is not self.head and (len(readers) > 1 or next(iter(readers)).wants_more())
        ]
        hungry.sort(key=lambda place: place.frontier.upto)
        return [self.head, *hungry[: max(1, at_most - 1)]]

    def move(self, place: Place, frontier: Frontier, touched: Iterable[Reader]) -> None:
        """A page was handed out here.

        Args:
            place: where it was read.
            frontier: behind the page.
            touched: those here who took something of it.
        """
        place.frontier = frontier
        for reader in touched:
            if not reader.wants_more():
                self._part(reader)
        same = next(
            (one for one in self._readers if one is not place and one.frontier == frontier), None
        )
        if same is not None and self._may_join(same) and self._may_join(place):
            self._join(place, same)

    def _part(self, reader: Reader) -> None:
        """It has no room for a page now, and must not hold up those who have."""
        old = reader.place
        self._readers[old].discard(reader)
        reader.place = Place(old.frontier)
        self._readers[reader.place] = {reader}
        self._tidy(old)

    def _may_join(self, place: Place) -> bool:
        readers = self._readers.get(place)
        if readers is None:
            return False
        return len(readers) != 1 or next(iter(readers)).wants_more()

    def _join(self, one: Place, other: Place) -> None:
        fewer, more = (one, other) if other is self.head else (other, one)
        for reader in self._readers[fewer]:
            reader.place = more
        self._readers[more] |= self._readers.pop(fewer)

    def _tidy(self, place: Place) -> None:
        if place is not self.head and not self._readers.get(place, True):
            del self._readers[place]
