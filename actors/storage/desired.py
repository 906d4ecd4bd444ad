"""The supervisor's desired state in PostgreSQL, fenced by the leader's epoch."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from actors.runtime.desired import LostLeadership, PoolState
from actors.storage.database import Database, Transaction

_NAME = "supervisor"


class DesiredInPostgres:
    """A `DesiredState`; connects when it is first used, so that it can be made without a server.

    Args:
        connect: opens the database as role ``guild_log``.
    """

    def __init__(self, connect: Callable[[], Awaitable[Database]]) -> None:
        self._connect = connect
        self._database: Database | None = None

    async def lead(self, holder: str) -> int:
        """See `DesiredState.lead`."""
        async with self._transaction() as tx:
            epoch: int = await tx.fetchval(
                "INSERT INTO leaders (name, holder, epoch) VALUES ($1, $2, 1)"
                " ON CONFLICT (name) DO UPDATE"
                " SET holder = $2, epoch = leaders.epoch + 1, renewed_at = now()"
                " RETURNING epoch",
                _NAME,
                holder,
            )
        return epoch

    async def renew(self, epoch: int) -> None:
        """See `DesiredState.renew`."""
        async with self._transaction() as tx:
            await _prove(tx, epoch)

    async def load(self) -> Mapping[str, PoolState]:
        """See `DesiredState.load`."""
        async with self._transaction() as tx:
            rows = await tx.fetch("SELECT name, generation, size, min_size, max_size FROM pools")
        return {row["name"]: PoolState(*row.values()) for row in rows}

    async def save(self, pool: PoolState, epoch: int) -> None:
        """See `DesiredState.save`."""
        async with self._transaction() as tx:
            await _prove(tx, epoch)
            await tx.execute(
                "INSERT INTO pools (name, generation, size, min_size, max_size)"
                " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE"
                " SET generation = $2, size = $3, min_size = $4, max_size = $5,"
                " version = pools.version + 1, changed_at = now()",
                pool.name,
                pool.generation,
                pool.size,
                pool.min_size,
                pool.max_size,
            )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        if self._database is None:
            self._database = await self._connect()
        async with self._database.across_guilds() as tx:
            yield tx


async def _prove(tx: Transaction, epoch: int) -> None:
    """Locks the leader's row for this transaction, so that nobody takes over in the middle."""
    status = await tx.execute(
        "UPDATE leaders SET renewed_at = now() WHERE name = $1 AND epoch = $2", _NAME, epoch
    )
    if status != "UPDATE 1":
        raise LostLeadership(epoch)
