"""What each guild has learnt, in one member."""

from collections.abc import Sequence

import structlog

from actors import events
from actors.events import StoredEvent
from actors.index import learning
from actors.rag.feedback.store import FeedbackStore
from actors.runtime.message import GuildId

_log = structlog.get_logger("elders_guild.rag")
_CHANGES = (events.FeedbackRecorded, events.FeedbackForgotten, events.ModelSwitched)


class Weights:
    """The bias of every guild, as the rows say: members that read the same rows have the same.

    Args:
        store: None: no guild has learnt anything.
    """

    def __init__(self, store: FeedbackStore | None = None) -> None:
        self._store = store
        self._biases: dict[GuildId, float] = {}

    def bias(self, guild_id: GuildId) -> float:
        """See `fusion.biased`; 0 where nothing is learnt."""
        return self._biases.get(guild_id, 0.0)

    async def hear(self, guild_id: GuildId, batch: Sequence[StoredEvent]) -> None:
        """Learns anew where one of these events of the guild says so.

        Raises:
            ElderGuildError: the rows cannot be read; the bias stays as it is.
        """
        if any(isinstance(event.payload, _CHANGES) for event in batch):
            await self.refresh(guild_id)

    async def refresh(self, guild_id: GuildId) -> None:
        """Learns from the rows; raises what `hear` raises."""
        if self._store is None:
            return
        kept = await self._store.kept(guild_id)
        before, bias = self.bias(guild_id), learning.learnt(one.judgement for one in kept)
        self._biases[guild_id] = bias
        if bias != before:
            _log.info(
                "fusion_bias_changed",
                guild_id=guild_id,
                bias=bias,
                before=before,
                feedbacks=len(kept),
            )
