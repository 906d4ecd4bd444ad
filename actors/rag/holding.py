"""What one member holds of every guild's index, and what it is to hold."""

from collections.abc import Collection, Iterable, Sequence

from actors.rag import placement
from actors.rag.placement import Layout, Place
from actors.rag.store import Loaded
from actors.runtime.message import GuildId

ALONE = Place("")


class Holding:
    """The shards of a member. A guild that is new to it begins empty, so it holds its part at once.

    Args:
        layout: how every index is divided.
        me: this member.
        members: that shards are spread over; this one counts always.

    Attributes:
        layout: how every index is divided.
        me: this member's name.
    """

    def __init__(self, layout: Layout, me: Place = ALONE, members: Collection[Place] = ()) -> None:
        self.layout = layout
        self.me = me.name
        self._members: tuple[Place, ...] = ()
        self._held: dict[GuildId, set[int]] = {}
        self._filling: dict[GuildId, frozenset[int]] = {}
        self.spread_over(members, me)

    def spread_over(self, members: Collection[Place], me: Place | None = None) -> None:
        """From now on shards are spread over these; what is held stays until it is let go."""
        others = {one.name: one for one in members}
        if me is not None:
            others.setdefault(me.name, me)
        elif self.me not in others:
            others[self.me] = Place(self.me)
        self._members = tuple(sorted(others.values()))

    @property
    def guilds(self) -> tuple[GuildId, ...]:
        """The guilds that this member has heard of."""
        return tuple(self._held)

    @property
    def count(self) -> int:
        """Shards held, of all guilds."""
        return sum(map(len, self._held.values()))

    def wanted(self, guild_id: GuildId) -> frozenset[int]:
        """What this member is to hold of a guild."""
        shards = range(self.layout.shards)
        if self.layout.replicas == 0:
            return frozenset(shards)
        spread = placement.spread(guild_id, self.layout, self._members)
        return frozenset(
            shard for shard in shards if any(one.name == self.me for one in spread[shard])
        )

    def others(self, guild_id: GuildId, shard: int) -> list[str]:
        """The other members that are to hold a shard."""
        spread = placement.spread(guild_id, self.layout, self._members)
        return [one.name for one in spread[shard] if one.name != self.me]

    def held(self, guild_id: GuildId) -> set[int]:
        """What can be searched here."""
        found = self._held.get(guild_id)
        if found is None:
            found = self._held[guild_id] = set(self.wanted(guild_id))
        return found

    def applied(self, guild_id: GuildId) -> Collection[int]:
        """What is kept up with the log: what is held, and what is being filled."""
        filling = self._filling.get(guild_id)
        return self.held(guild_id) | filling if filling else self.held(guild_id)

    def fill(self, guild_id: GuildId, shards: Iterable[int]) -> None:
        """These are being filled; nothing: none is any more."""
        self._filling[guild_id] = frozenset(shards)

    def divided(self, loaded: Sequence[Loaded]) -> dict[int, list[Loaded]]:
        """The sources of each shard."""
        if self.layout.shards == 1:
            return {0: list(loaded)}
        parts: dict[int, list[Loaded]] = {}
        for source, passages in loaded:
            parts.setdefault(self.shard_of(source.source_id), []).append((source, passages))
        return parts

    def shard_of(self, source_id: str) -> int:
        """The shard of a source."""
        return placement.shard_of(source_id, self.layout.shards)
