"""How far the dense leg of each guild is behind the words. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

from actors.rag.store import Loaded
from actors.runtime.message import GuildId, Position

_SPARE = 64  # what is done may lie in the heap so often, beside as much as waits


def beginning(epoch: int) -> Position:
    """Below every event: since when those wait of whom nobody knows since when."""
    return Position(0, 0, epoch)


class DenseBacklog:
    """Sources of a guild that lack a vector, and the lowest position of what made them wait."""

    def __init__(self) -> None:
        self._since: dict[str, Position] = {}
        self._order: list[tuple[Position, str]] = []  # a heap; what is done leaves it late

    def waits(self, source_id: str, position: Position) -> None:
        """It has passages without a vector since that position, or since a lower one."""
        if source_id not in self._since or position < self._since[source_id]:
            self._since[source_id] = position
            heappush(self._order, (position, source_id))
            self._tidy()

    def waits_already(self, source_id: str, epoch: int) -> None:
        """It has passages without a vector; where nobody knows since when, since the beginning."""
        if source_id not in self._since:
            self.waits(source_id, beginning(epoch))

    def done(self, source_id: str) -> None:
        """It has all its vectors, or it is gone."""
        self._since.pop(source_id, None)
        self._tidy()

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

    def _tidy(self) -> None:
        if len(self._order) > 2 * len(self._since) + _SPARE:
            self._order = [(position, source_id) for source_id, position in self._since.items()]
            heapify(self._order)


class DenseBacklogs:
    """The backlog of every guild."""

    def __init__(self) -> None:
        self._guilds: defaultdict[GuildId, DenseBacklog] = defaultdict(DenseBacklog)

    def has(self, guild_id: GuildId, position: Position) -> bool:
        """See `DenseBacklog.has`."""
        return self._guilds[guild_id].has(position)

    def reached(self, guild_id: GuildId, position: Position) -> Position:
        """See `DenseBacklog.reached`."""
        return self._guilds[guild_id].reached(position)

    def note(
        self, guild_id: GuildId, loaded: Sequence[Loaded], positions: Mapping[str, Position]
    ) -> None:
        """Who waits for a vector, with the position of its cause."""
        dense = self._guilds[guild_id]
        for source_id, waits in _waiting(loaded):
            if waits:
                dense.waits(source_id, positions[source_id])
            else:
                dense.done(source_id)

    def note_old(self, guild_id: GuildId, loaded: Sequence[Loaded], epoch: int) -> None:
        """Of rows and snapshots, which do not say since when a passage waits for its vector."""
        dense = self._guilds[guild_id]
        for source_id, waits in _waiting(loaded):
            if waits:
                dense.waits_already(source_id, epoch)
            else:
                dense.done(source_id)

    def swapped(
        self, guild_id: GuildId, source_ids: Collection[str], waiting: Collection[str], epoch: int
    ) -> None:
        """The vectors of a new index are there, but for those that nobody has made yet."""
        self.forget(guild_id, set(source_ids).difference(waiting))
        for source_id in waiting:
            self._guilds[guild_id].waits_already(source_id, epoch)

    def forget(self, guild_id: GuildId, source_ids: Collection[str]) -> None:
        """These have their vectors, or are gone."""
        for source_id in source_ids:
            self._guilds[guild_id].done(source_id)


def _waiting(loaded: Sequence[Loaded]) -> Iterator[tuple[str, bool]]:
    """Ids of sources, and whether one of their passages has no vector."""
    for source, passages in loaded:
        yield source.source_id, any(passage.vector is None for passage in passages)
