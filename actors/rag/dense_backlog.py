"""How far the dense leg of each guild is behind the words. Pure."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from heapq import heappop, heappush

from actors.rag.store import Loaded
from actors.runtime.message import GuildId, Position


def beginning(epoch: int) -> Position:
    """Below every event: since when those wait of whom nobody knows since when."""
    return Position(0, 0, epoch)


class DenseBacklog:
    """Sources of a guild that lack a vector, and the position of what made them wait."""

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
        for source, passages in loaded:
            if all(passage.vector is not None for passage in passages):
                dense.done(source.source_id)
            else:
                dense.waits(source.source_id, positions[source.source_id])

    def note_old(self, guild_id: GuildId, loaded: Sequence[Loaded], epoch: int) -> None:
        """Of rows and snapshots, which do not say since when a passage waits for its vector."""
        self.note(guild_id, loaded, defaultdict(lambda: beginning(epoch)))

    def swapped(
        self, guild_id: GuildId, source_ids: Collection[str], waiting: Collection[str], epoch: int
    ) -> None:
        """The vectors of a new index are there, but for those that nobody has made yet."""
        self.forget(guild_id, set(source_ids).difference(waiting))
        for source_id in waiting:
            self._guilds[guild_id].waits(source_id, beginning(epoch))

    def forget(self, guild_id: GuildId, source_ids: Collection[str]) -> None:
        """These have their vectors, or are gone."""
        for source_id in source_ids:
            self._guilds[guild_id].done(source_id)
