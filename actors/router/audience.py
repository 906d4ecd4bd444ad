"""Who of many channels hears an event: looked up, not asked around."""

from collections.abc import Iterable

from actors.router.channel import Channel
from actors.runtime.message import GuildId

_MAX_REMEMBERED = 20_000


class Audience:
    """Channels by guild and type. With thousands of them, each event concerns a few."""

    def __init__(self) -> None:
        self._everywhere: list[Channel] = []
        self._of_guild: dict[GuildId, list[Channel]] = {}
        self._known: dict[tuple[GuildId, str], tuple[Channel, ...]] = {}

    def set(self, channels: Iterable[Channel]) -> None:
        """These are all there are from now on."""
        self._everywhere = []
        self._of_guild = {}
        self._known = {}
        for channel in channels:
            guild_id = channel.subscription.guild_id
            if guild_id is None:
                self._everywhere.append(channel)
            else:
                self._of_guild.setdefault(guild_id, []).append(channel)

    def of(self, guild_id: GuildId, event_type: str) -> tuple[Channel, ...]:
        """The channels that want events of this type of this guild."""
        key = guild_id, event_type
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_REMEMBERED:  # types are anybody's to invent
                self._known.clear()
            candidates = (*self._everywhere, *self._of_guild.get(guild_id, ()))
            found = tuple(one for one in candidates if one.subscription.wants(event_type))
            self._known[key] = found
        return found
