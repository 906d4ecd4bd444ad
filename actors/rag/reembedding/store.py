"""What re-embedding needs kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from actors.embedding.identity import ModelIdentity
from actors.index.passage import Vector
from actors.rag.store import Pending
from actors.runtime.message import Command, GuildId


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchModel(Command[None]):
    """Why all vectors of a guild change: an operator has asked for another model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many of a guild's passages have a vector of the next model."""

    passages: int
    ready: int


class NextStore(Protocol):
    """The vectors of the model that a guild is moved to, one guild at a time."""

    async def guilds(self) -> list[GuildId]:
        """Every guild."""
        ...

    async def model(self, guild_id: GuildId) -> ModelIdentity | None:
        """What all vectors of the guild come from; None: it has none yet."""
        ...

    async def progress(self, guild_id: GuildId, target: ModelIdentity) -> Progress:
        """How far the guild is."""
        ...

    async def waiting(
        self, guild_id: GuildId, target: ModelIdentity, after: str, limit: int
    ) -> list[Pending]:
        """Passages with ids above ``after`` that have no vector of the next model, by id."""
        ...

    async def keep(
        self, guild_id: GuildId, target: ModelIdentity, vectors: Mapping[str, Vector]
    ) -> None:
        """Keeps next vectors by chunk id; one that is there stays. Searches do not see them."""
        ...

    async def switch(self, cause: Command[None], target: ModelIdentity, most_left: int) -> bool:
        """Makes the next vectors the guild's, all of them in one short transaction, with an event.

        Nobody writes vectors of the guild meanwhile. No vector is moved: from now on whoever reads
        the guild's vectors finds the next ones. Passages that came too late for a next vector
        are left without one, as new ones are.

        Args:
            cause: names the guild.
            target: the next model.
            most_left: passages that may be without a next vector.

        Returns:
            False, and nothing has changed, where there are more of those.
        """
        ...

    async def fold(self, guild_id: GuildId, target: ModelIdentity, limit: int) -> bool:
        """Puts vectors of the guild's model in the place of former ones; whether there were any.

        Changes nothing that anybody can read; without it two vectors of a passage are kept.
        """
        ...

    async def forget(self, guild_id: GuildId, limit: int) -> bool:
        """Deletes next vectors that are no passage's of the guild's model; whether more may be."""
        ...
