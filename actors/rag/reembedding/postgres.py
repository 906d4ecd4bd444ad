"""The next vectors of guilds in PostgreSQL."""

from collections.abc import Mapping

from actors.embedding.identity import ModelIdentity
from actors.events import ModelSwitched
from actors.index.passage import Vector
from actors.rag import domain, model_rows
from actors.rag.reembedding import sql
from actors.rag.reembedding.store import Progress
from actors.rag.store import Pending
from actors.runtime.message import Command, GuildId
from actors.storage import outbox
from actors.storage.database import Database, Transaction, binary_vector

_AGGREGATE = "embedding-model"  # of a guild, which has one


class PostgresNextStore:
    """`NextStore` on PostgreSQL with pgvector.

    Args:
        database: as role ``guild_app``; one guild a transaction. The switch looks at all passages
            of a guild in one statement: its time limit must allow that.
        log_database: as role ``guild_log``, which may list the guilds.
    """

    def __init__(self, database: Database, log_database: Database) -> None:
        self._database = database
        self._log_database = log_database

    async def guilds(self) -> list[GuildId]:
        """See `NextStore.guilds`."""
        async with self._log_database.across_guilds() as tx:
            rows = await tx.fetch("SELECT guild_id FROM guilds ORDER BY guild_id")
        return [GuildId(row["guild_id"]) for row in rows]

    async def model(self, guild_id: GuildId) -> ModelIdentity | None:
        """See `NextStore.model`."""
        async with self._database.read(guild_id) as tx:
            return await model_rows.model(tx, guild_id)

    async def progress(self, guild_id: GuildId, target: ModelIdentity) -> Progress:
        """See `NextStore.progress`."""
        async with self._database.read(guild_id) as tx:
            return await _progress(tx, guild_id, target)

    async def waiting(
        self, guild_id: GuildId, target: ModelIdentity, after: str, limit: int
    ) -> list[Pending]:
        """See `NextStore.waiting`."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(sql.WAITING, guild_id, *_named(target), after, limit)
        return [
            Pending(
                chunk_id=row["chunk_id"],
                source_id=row["source_id"],
                to_embed=domain.to_embed(row["title"], row["heading"], row["body"]),
            )
            for row in rows
        ]

    async def keep(
        self, guild_id: GuildId, target: ModelIdentity, vectors: Mapping[str, Vector]
    ) -> None:
        """See `NextStore.keep`."""
        sent = [binary_vector(vector.astype("<f4").tobytes()) for vector in vectors.values()]
        async with self._database.transaction(guild_id) as tx:
            await tx.execute(sql.KEEP, guild_id, *_named(target), list(vectors), sent)

    async def switch(self, cause: Command[None], target: ModelIdentity, most_left: int) -> bool:
        """See `NextStore.switch`."""
        guild_id = cause.context.caller.guild_id
        async with self._database.read(guild_id) as tx:  # while others write on
            if await model_rows.model(tx, guild_id) == target:
                return True
            progress = await _progress(tx, guild_id, target)
            if progress.passages - progress.ready > most_left:
                return False
        async with self._database.transaction(guild_id) as tx:
            await tx.execute(sql.LOCK, guild_id)
            if await model_rows.model(tx, guild_id) == target:
                return True
            looked = await tx.fetchrow(sql.LATE, guild_id, *_named(target), most_left)
            assert looked is not None  # noqa: S101  # a count always has one
            if looked["late"] > most_left:
                return False
            version: int = await tx.fetchval(sql.SET_MODEL, guild_id, *_named(target))
            await outbox.append(
                tx,
                cause=cause,
                aggregate_id=_AGGREGATE,
                version_before=version - 1,
                payloads=[
                    ModelSwitched(
                        model_id=target.model_id,
                        dimension=target.dimension,
                        passages=looked["ready"],
                    )
                ],
            )
        return True

    async def fold(self, guild_id: GuildId, target: ModelIdentity, limit: int) -> bool:
        """See `NextStore.fold`."""
        async with self._database.transaction(guild_id) as tx:
            if await model_rows.held(tx, guild_id) != target:
                return False
            status = await tx.execute(sql.FOLD, guild_id, *_named(target), limit)
        return status != "DELETE 0"

    async def forget(self, guild_id: GuildId, limit: int) -> bool:
        """See `NextStore.forget`."""
        async with self._database.transaction(guild_id) as tx:
            await model_rows.held(tx, guild_id)  # or a switch might count on what is deleted here
            status = await tx.execute(sql.FORGET, guild_id, limit)
        return status == f"DELETE {limit}"


def _named(target: ModelIdentity) -> tuple[str, int]:
    return target.model_id, target.dimension


async def _progress(tx: Transaction, guild_id: GuildId, target: ModelIdentity) -> Progress:
    row = await tx.fetchrow(sql.PROGRESS, guild_id, *_named(target))
    assert row is not None  # noqa: S101  # a count always has one
    return Progress(passages=row["passages"], ready=row["ready"])
