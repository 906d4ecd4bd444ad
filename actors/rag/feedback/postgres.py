"""What was said of search results, in PostgreSQL."""

from collections.abc import Sequence

import asyncpg
import numpy as np

from actors.embedding.identity import ModelIdentity
from actors.events import FeedbackForgotten, FeedbackRecorded
from actors.index.learning import Judgement
from actors.rag.feedback import sql
from actors.rag.feedback.store import Feedback
from actors.runtime.message import Command, GuildId, ReplyT
from actors.storage import inbox, outbox
from actors.storage.database import Database, Transaction

_AGGREGATE = "search-feedback"  # of a guild, which has one


class PostgresFeedbackStore:
    """`FeedbackStore` on PostgreSQL.

    Args:
        database: as role ``guild_app``; one guild a transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kept(self, guild_id: GuildId) -> Sequence[Feedback]:
        """See `FeedbackStore.kept`."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(sql.KEPT, guild_id)
        return [_feedback(row) for row in rows]

    async def record(
        self,
        cause: Command[ReplyT],
        reply: ReplyT,
        given: Sequence[Feedback],
        event: FeedbackRecorded | None,
        most: int,
    ) -> None:
        """See `FeedbackStore.record`."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            if event is not None:
                await tx.execute(sql.LOCK, guild_id)
                version = await _announce(tx, cause, event)
                await tx.executemany(sql.PUT, [(*_row(guild_id, one), version) for one in given])
                await tx.execute(sql.PRUNE, guild_id, most)
            await inbox.record(tx, cause, reply)

    async def forget(self, cause: Command[ReplyT], reply: ReplyT, event: FeedbackForgotten) -> None:
        """See `FeedbackStore.forget`."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            await tx.execute(sql.LOCK, guild_id)
            await tx.execute(sql.FORGET, guild_id)
            await _announce(tx, cause, event)
            await inbox.record(tx, cause, reply)


async def _announce(
    tx: Transaction, cause: Command[ReplyT], event: FeedbackRecorded | FeedbackForgotten
) -> int:
    version: int = await tx.fetchval(sql.NEXT_VERSION, cause.context.caller.guild_id)
    await outbox.append(
        tx, cause=cause, aggregate_id=_AGGREGATE, version_before=version - 1, payloads=[event]
    )
    return version


def _row(guild_id: GuildId, one: Feedback) -> tuple[object, ...]:
    judgement, model = one.judgement, one.model
    return (
        guild_id,
        judgement.query,
        one.source_id,
        judgement.relevant,
        judgement.curve.tolist(),
        model.model_id,
        model.dimension,
        one.given_at,
    )


def _feedback(row: asyncpg.Record) -> Feedback:
    return Feedback(
        judgement=Judgement(
            query=row["query_sha256"],
            curve=np.array(row["curve"], dtype=np.float32),
            relevant=row["relevant"],
        ),
        source_id=row["source_id"],
        model=ModelIdentity(row["model_id"], row["dimension"]),
        given_at=row["given_at"],
    )
