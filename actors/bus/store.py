"""What the bus needs of its storage."""

from collections.abc import Sequence
from typing import Protocol

from actors.bus.domain.publishing import Line
from actors.bus.messages import Published
from actors.runtime.message import GuildId


class PublishingStore(Protocol):
    """The log's side that takes events from outside."""

    async def append(self, guild_id: GuildId, lines: Sequence[Line]) -> Sequence[Published]:
        """Writes all of them or none, in one transaction, and answers after its commit.

        A line whose ``(source, source_id)`` the log has already, also from earlier in ``lines``,
        is not written: its answer is that of the first.

        Raises:
            ValidationError: the database refuses one of them.
            VersionConflict: a later transaction was first at an aggregate; repeat it.
            DependencyUnavailable: the database is away.
        """
