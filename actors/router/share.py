"""Which aggregates are one router's, where several share the log. Pure."""

import zlib
from dataclasses import dataclass

from actors.events import StoredEvent


@dataclass(frozen=True, slots=True)
class Share:
    """Part ``index`` of ``of``: an aggregate belongs to the same part in every process."""

    index: int
    of: int

    @property
    def is_first(self) -> bool:
        """Whether it also does what is nobody's in particular."""
        return self.index == 0

    def has(self, event: StoredEvent) -> bool:
        """Whether this part delivers the event."""
        if self.of == 1:
            return True
        key = f"{event.guild_id}/{event.aggregate_id}".encode()
        return zlib.crc32(key) % self.of == self.index

    def cursor(self, subscription: str) -> str:
        """Under which name the part keeps the subscription's cursor."""
        return subscription if self.of == 1 else f"{subscription}#{self.index}/{self.of}"


WHOLE = Share(0, 1)
