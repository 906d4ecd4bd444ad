"""The supervisor's desired state in PostgreSQL, fenced by the leader's epoch."""

from collections.abc import Awaitable, Callable, Mapping

from actors.errors import NotFound
from actors.runtime.desired import SUPERVISOR, PoolState
from actors.storage.database import Database
from actors.storage.leaders import Leaders, Lease, hold


class DesiredInPostgres:
    """A `DesiredState`; connects when it is first used, so that it can be made without a server.

    Args:
        connect: opens the database as role ``guild_log``.
    """

    def __init__(self, connect: Callable[[], Awaitable[Database]]) -> None:
        self._connect = connect
        self._database: Database | None = None

    async def lead(self, holder: str, *, unless_renewed_within_s: float) -> Lease | None:
        """See `DesiredState.lead`."""
        leaders = Leaders(await self._connected())
        return await leaders.acquire(
            SUPERVISOR, holder, unless_renewed_within_s=unless_renewed_within_s
        )

    async def renew(self, lease: Lease) -> None:
        """See `DesiredState.renew`."""
        await Leaders(await self._connected()).renew(lease)

    async def load(self) -> Mapping[str, PoolState]:
        """See `DesiredState.load`."""
        database = await self._connected()
        async with database.across_guilds() as tx:
            rows = await tx.fetch("SELECT name, generation, size, min_size, max_size FROM pools")
        return {row["name"]: PoolState(*row.values()) for row in rows}

    async def save(self, pool: PoolState, lease: Lease) -> None:
        """See `DesiredState.save`."""
        database = await self._connected()
        async with database.across_guilds() as tx:
            await hold(tx, lease)
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

    async def bound(self, name: str, *, min_size: int, max_size: int) -> PoolState:
        """Sets the bounds of a pool as an operator, and its size to the nearest within them.

        The supervisor reads them at its next look. One that writes its own decision at the same
        moment wins: look again after that.

        Raises:
            NotFound: no supervisor has ever had such a pool.
        """
        database = await self._connected()
        async with database.across_guilds() as tx:
            row = await tx.fetchrow(
                "UPDATE pools SET min_size = $2, max_size = $3,"
                " size = least(greatest(size, $2), $3), version = version + 1, changed_at = now()"
                " WHERE name = $1 RETURNING name, generation, size, min_size, max_size",
                name,
                min_size,
                max_size,
            )
        if row is None:
            raise NotFound("pool", name)
        return PoolState(*row.values())

    async def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._database is not None:
            await self._database.close()
            self._database = None

    async def _connected(self) -> Database:
        if self._database is None:
            self._database = await self._connect()
        return self._database
