"""What the log says of sources whose rows are older. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from actors.rag.domain import Indexed
from actors.rag.store import Loaded
from actors.runtime.message import GuildId, Position

_Key = tuple[GuildId, str]


class Ahead:
    """Sources as the projection will store them, until it has.

    An index reads the log before the router brings its events to the projection. What it was told
    wins over a row that is older: neither does a source that was deleted come back with it, nor
    does a change get lost.

    Args:
        most: sources that are kept with their text; of more the oldest fall back to their rows.
        most_removed: that are kept of those that have left.
    """

    def __init__(self, most: int, most_removed: int) -> None:
        self._most = most
        self._most_removed = most_removed
        self._present: dict[_Key, Indexed] = {}
        self._removed: dict[_Key, Indexed] = {}
        self._unknown: dict[_Key, Position] = {}  # of those that have left before any row of them
        self._complete = True

    @property
    def complete(self) -> bool:
        """Whether all removals are known; once some had to be forgotten, not before half is stored.

        Removals are stored in about the order in which they were read, so by then those that were
        forgotten are stored, too.
        """
        return self._complete

    @property
    def crowded(self) -> bool:
        """Whether so many are known to have left that `projected` is worth asking for."""
        return len(self._removed) > self._most_removed // 2

    def of(self, guild_id: GuildId, source_id: str) -> Indexed | None:
        """The source, if its row is older."""
        key = guild_id, source_id
        return self._present.get(key) or self._removed.get(key)

    def known(self, guild_id: GuildId, source_ids: Iterable[str]) -> dict[str, Indexed]:
        """Those of these sources whose rows are older."""
        found = ((source_id, self.of(guild_id, source_id)) for source_id in source_ids)
        return {source_id: source for source_id, source in found if source is not None}

    def note(self, guild_id: GuildId, source: Indexed, unknown_at: Position | None = None) -> None:
        """The source will be stored like this; the text of one that has left is not kept.

        Args:
            guild_id: whose.
            source: as the log says.
            unknown_at: of the event by which it left, where nothing else is known of it: it may be
                that no row of it ever comes.
        """
        key = guild_id, source.source_id
        self._drop(key)
        if not source.removed:
            self._present[key] = source
            if len(self._present) > self._most:
                del self._present[next(iter(self._present))]
            return
        self._removed[key] = replace(source, body="", labels={}, names=(), urls=(), tags=())
        if unknown_at is not None:
            self._unknown[key] = unknown_at
        if len(self._removed) > self._most_removed:
            oldest = next(iter(self._removed))
            del self._removed[oldest]
            self._unknown.pop(oldest, None)
            self._complete = False

    def stored(self, guild_id: GuildId, rows: Mapping[str, Indexed]) -> None:
        """These are the rows: what they have come up with is forgotten."""
        for source_id, row in rows.items():
            source = self.of(guild_id, source_id)
            if source is not None and row.version >= source.version:
                self._drop((guild_id, source_id))

    def projected(self, upto: Position) -> None:
        """The projection is here: what it has no row of by now, nobody will ever bring."""
        for key in [key for key, position in self._unknown.items() if position <= upto]:
            self._drop(key)

    def not_older(self, guild_id: GuildId, loaded: Sequence[Loaded]) -> list[Loaded]:
        """Those of these rows that say no less than the log has said."""
        return [
            (row, passages)
            for row, passages in loaded
            if (source := self.of(guild_id, row.source_id)) is None or row.version >= source.version
        ]

    def _drop(self, key: _Key) -> None:
        self._present.pop(key, None)
        self._removed.pop(key, None)
        self._unknown.pop(key, None)
        if len(self._removed) <= self._most_removed // 2:
            self._complete = True
