"""One guild, one transaction: the only way the sages reach PostgreSQL."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Self

import asyncpg
import numpy as np

from actors import metrics
from actors.clock import ID_PATTERN
from actors.errors import DependencyUnavailable, ElderGuildError, VersionConflict
from actors.runtime import scope, tracing
from actors.runtime.message import GuildId, Position
from actors.settings import DatabaseSettings
from actors.storage.log_state import present_epoch
from actors.storage.measured import Measured
from actors.storage.vault import Vault

AS_GUILD = "guild AS MATERIALIZED (SELECT set_config('guild.id', $1, true) AS id)"
"""Common table expression by which a statement of its own is of the guild $1, until its end.

What touches a table must wait for it: ``WHERE (SELECT id FROM guild) = $1``. Where it does not, the
policies let nothing pass.
"""

_PLANNED_ONCE = "; SET LOCAL plan_cache_mode = force_generic_plan"
_GUILD = re.compile(ID_PATTERN)
_COMMITTED = metrics.TRANSACTIONS.labels("committed")
_ROLLED_BACK = metrics.TRANSACTIONS.labels("rolled_back")

_AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,  # the connection or its pool is closed; see `_translated`
    asyncpg.InternalClientError,  # the driver's state after a server died under it
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, starting up, a statement cancelled
    asyncpg.InsufficientResourcesError,  # disk, memory, connections
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_LOST_RACE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class Written(NamedTuple):
    """An event in the log."""

    event_id: str
    type: str
    correlation_id: str


class Transaction:
    """One open transaction of one guild. Row-level security shows it that guild's rows only.

    Attributes:
        epoch: of the log.
        vault: keys of data subjects.
        began: on the vault's clock; what it sees is not older.
        position: of the last event it wrote.
        written: events, told of when they are committed.
    """

    def __init__(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
        epoch: int,
        vault: Vault,
    ) -> None:
        self._connection = connection
        self.epoch = epoch
        self.vault = vault
        self.began = vault.now()
        self.position: Position | None = None
        self.written: list[Written] = []

    def note_events(self, written: Iterable[Written], last: Position) -> None:
        """Remembers what was written to the log."""
        self.written.extend(written)
        if self.position is None or self.position < last:
            self.position = last

    async def execute(self, query: str, *args: Any) -> str:
        """Runs one statement and returns its status, such as ``UPDATE 1``."""
        with Measured(query):
            return await self._connection.execute(query, *args)

    async def executemany(self, query: str, rows: Sequence[Sequence[Any]]) -> None:
        """Runs one statement for each row of arguments, pipelined."""
        with Measured(query):
            await self._connection.executemany(query, rows)

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """All rows."""
        with Measured(query):
            return await self._connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        with Measured(query):
            return await self._connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        with Measured(query):
            return await self._connection.fetchval(query, *args)


class Database:
    """A small pool of connections of one role. Owned, and closed, by one member.

    Errors of the driver that mean "not now" leave as `DependencyUnavailable`, lost races as
    `VersionConflict`; both are safe to repeat, because every command carries an id.

    Attributes:
        epoch: of the log in this database.
        vault: keys of data subjects; all databases of a process share one.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        settings: DatabaseSettings,
        on_commit: Callable[[], None],
        epoch: int,
        vault: Vault,
    ) -> None:
        self.epoch = epoch
        self.vault = vault
        self._pool = pool
        self._settings = settings
        self._on_commit = on_commit

    @classmethod
    async def open(
        cls,
        url: str,
        settings: DatabaseSettings,
        *,
        on_commit: Callable[[], None] = lambda: None,
        connections: int | None = None,
        vault: Vault | None = None,
    ) -> Self:
        """Connects and checks what our promises rest on.

        Args:
            url: connection of the role ``guild_app`` or ``guild_log``.
            settings: sizes and timeouts.
            on_commit: called after each commit that wrote an event; must not block. A lost call
                costs time only.
            connections: at most so many; default ``settings.connections_per_member``.
            vault: needed where payloads are sealed, or sealed ones are read.

        Raises:
            DependencyUnavailable: the server does not answer.
            RuntimeError: the server is set up so that our promises would not hold.
            LogMoved: the log was written on another server; see `actors.storage.log_state`.
        """
        size = connections or settings.connections_per_member
        milliseconds = {
            "statement_timeout": settings.command_timeout_s,
            "lock_timeout": settings.lock_timeout_s,
            "idle_in_transaction_session_timeout": settings.idle_in_transaction_timeout_s,
        }
        with _translated():
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size,
                timeout=settings.connect_timeout_s,
                command_timeout=settings.command_timeout_s,
                init=_set_up,
                reset=_keep_session,
                server_settings={
                    "application_name": "elders-guild",
                    **{name: str(int(value * 1000)) for name, value in milliseconds.items()},
                },
            )
            try:
                await _check_promises(pool)
                epoch = await present_epoch(pool)
            except BaseException:
                pool.terminate()
                raise
        return cls(pool, settings, on_commit, epoch, vault or Vault.empty())

    async def close(self) -> None:
        """Closes the connections, waiting briefly for what is running."""
        try:
            await asyncio.wait_for(self._pool.close(), self._settings.connect_timeout_s)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def transaction(
        self, guild_id: GuildId, *, planned_once: bool = False
    ) -> AsyncIterator[Transaction]:
        """A read-write transaction that sees and writes one guild; commits at the block's end.

        Args:
            guild_id: whose.
            planned_once: each statement is planned the first time it is seen on a connection. For
                statements whose plan does not depend on what they are given, and that take less
                time than their planning.

        Raises:
            DependencyUnavailable: the server went away, or a lock or a statement took too long.
                After a commit was sent this leaves open whether it happened.
            VersionConflict: the transaction lost a race and can be repeated.
        """
        begin = f"BEGIN; SET LOCAL guild.id = '{_checked(guild_id)}'"
        async with self._begin(begin + _PLANNED_ONCE * planned_once) as tx:
            yield tx
        self._note_commit(tx)

    @asynccontextmanager
    async def read(
        self, guild_id: GuildId, *, planned_once: bool = False
    ) -> AsyncIterator[Transaction]:
        """A read-only snapshot of one guild; see `transaction`."""
        begin = (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            f"SET LOCAL guild.id = '{_checked(guild_id)}'"
        )
        async with self._begin(begin + _PLANNED_ONCE * planned_once) as tx:
            yield tx

    @asynccontextmanager
    async def across_guilds(self) -> AsyncIterator[Transaction]:
        """A transaction of no guild: only the role ``guild_log`` sees anything in it."""
        async with self._begin("BEGIN") as tx:
            yield tx

    @asynccontextmanager
    async def snapshot_across_guilds(self) -> AsyncIterator[Transaction]:
        """Like `across_guilds`, read-only, all statements on one snapshot."""
        async with self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as tx:
            yield tx

    async def fetch_across_guilds(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of one statement of no guild, which is its own transaction and one snapshot.

        One round trip where `across_guilds` makes three.
        """
        async with self.statements() as tx:
            return await tx.fetch(query, *args)

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[Transaction]:
        """No transaction: each statement is one, and a round trip where they would be three.

        The role ``guild_log`` sees all guilds in it. The role ``guild_app`` sees only what the
        statement itself asks for by `AS_GUILD`.

        Raises:
            DependencyUnavailable, VersionConflict: as `transaction`.
        """
        with _translated():
            timeout_s = scope.remaining_s(self._settings.connect_timeout_s)
            async with self._pool.acquire(timeout=timeout_s) as connection:
                tx = Transaction(connection, self.epoch, self.vault)
                yield tx
        self._note_commit(tx)

    def _note_commit(self, tx: Transaction) -> None:
        if tx.position is not None:
            scope.note_position(tx.position)
            self._on_commit()

    @asynccontextmanager
    async def _begin(self, begin: str) -> AsyncIterator[Transaction]:
        with _translated():
            timeout_s = scope.remaining_s(self._settings.connect_timeout_s)
            async with self._pool.acquire(timeout=timeout_s) as connection:
                # BEGIN and COMMIT can be cancelled half-way too: nothing dirty goes back.
                try:
                    await connection.execute(begin)
                    tx = Transaction(connection, self.epoch, self.vault)
                    yield tx
                    with Measured("COMMIT"):
                        await connection.execute("COMMIT")
                    _COMMITTED.inc()
                    for one in tx.written:
                        metrics.EVENTS_PUBLISHED.labels(one.type).inc()
                        tracing.published(*one)
                except BaseException:
                    _ROLLED_BACK.inc()
                    await _roll_back(connection)
                    raise


async def _set_up(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A vector goes to the server as `binary_vector` writes it, and not as a text."""
    await connection.set_type_codec(
        "vector", schema="public", encoder=bytes, decoder=bytes, format="binary"
    )


def binary_vector(values: bytes) -> bytes:
    """What PostgreSQL reads as a ``vector``: dimension, nothing, big-endian float32.

    Args:
        values: little-endian float32, one behind the other.
    """
    numbers = np.frombuffer(values, "<f4").astype(">f4")
    return struct.pack(">HH", len(numbers), 0) + numbers.tobytes()


async def _keep_session(_: object) -> None:
    """Replaces the driver's reset: all we set is local to the transaction."""


async def _roll_back(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
    """Leaves a clean connection, or none: one in an unknown state is not used again."""
    try:
        await connection.execute("ROLLBACK")
    except BaseException as error:
        with suppress(asyncpg.InterfaceError):  # it was closed already
            connection.terminate()
        if not isinstance(error, Exception):  # cancelled once more: that is what the caller hears
            raise


async def _check_promises(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    row = await pool.fetchrow(
        "SELECT current_setting('synchronous_commit') AS durable,"
        " rolsuper OR rolbypassrls AS bypasses, rolname FROM pg_roles WHERE rolname = current_user"
    )
    assert row is not None  # noqa: S101  # every session has a role
    if row["durable"] == "off":
        raise RuntimeError("synchronous_commit is off: acknowledged writes could be lost")
    if row["bypasses"]:
        raise RuntimeError(
            f"the role {row['rolname']} bypasses row-level security: connect as guild_app"
        )


def _lost_race(error: asyncpg.PostgresError) -> bool:
    """Whether a repeat may well succeed.

    A row on its way into the default partition of the log is refused when its own partition was
    made meanwhile. That is a check without a name; checks of tables have one.
    """
    match error:
        case asyncpg.CheckViolationError():
            return error.constraint_name is None
        case _:
            return isinstance(error, _LOST_RACE)


def _checked(guild_id: str) -> str:
    """The id, safe to stand in SQL text (SET takes no parameters)."""
    if not _GUILD.fullmatch(guild_id):
        raise ValueError("not a guild id")
    return guild_id


class _translated:  # reads as a word in `with _translated():`
    """Turns the driver's errors into ours; ours and bugs pass unchanged."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        match error:
            case None | ElderGuildError() | asyncio.CancelledError():
                return
            case asyncpg.PostgresError() if _lost_race(error):
                raise VersionConflict("record", "") from error
            case asyncpg.InterfaceError() if isinstance(error, ValueError):
                return  # a URL or an argument that makes no sense: not an absent server
            case _ if isinstance(error, _AWAY):
                raise DependencyUnavailable("postgres") from error
