"""What learning needs kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from actors.embedding.identity import ModelIdentity
from actors.events import FeedbackForgotten, FeedbackRecorded
from actors.index.learning import Judgement
from actors.runtime.message import Command, GuildId, ReplyT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feedback:
    """What was said of one source.

    Attributes:
        model: that the guild's vectors were of.
    """

    judgement: Judgement
    source_id: str
    model: ModelIdentity
    given_at: datetime

    @property
    def key(self) -> tuple[bytes, str]:
        """Of one query and one source the last word counts."""
        return self.judgement.query, self.source_id


class FeedbackStore(Protocol):
    """What was said in each guild."""

    async def kept(self, guild_id: GuildId) -> Sequence[Feedback]:
        """What was said while the vectors were of the guild's present model, newest first.

        What is newest is said by the order in which it was written, not by a clock.
        """
        ...

    async def record(
        self,
        cause: Command[ReplyT],
        reply: ReplyT,
        given: Sequence[Feedback],
        event: FeedbackRecorded | None,
        most: int,
    ) -> None:
        """Writes feedback, its event and the command's reply in one transaction.

        What was said before of the same query and source is replaced; of all that the guild has
        only the newest ``most`` are kept. Without an event only the reply is kept.

        Raises:
            AlreadyHandled: the command took effect before.
        """
        ...

    async def forget(self, cause: Command[ReplyT], reply: ReplyT, event: FeedbackForgotten) -> None:
        """Deletes all feedback of the guild, with an event; raises what `record` raises."""
        ...
