"""What a database holds, to be compared with a copy of it: rows and checksums of each table.

A checksum is the sum modulo 2^64 of the first eight bytes of SHA-256 over each row's text: the
order of the rows does not matter, and a row that is there twice does. It is of what the rows say
and not of how they lie on the disk, so a restored table has the same.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import asyncpg

from actors.runtime.message import Position
from actors.storage.schema_lock import LOCK

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_MODULUS = 1 << 64
_LOCK_WITHIN_MS = 10_000
# Rows read the same on every server, all of them or none, however long it takes.
_SESSION = """
SELECT set_config(name, value, false) FROM (VALUES
    ('row_security', 'off'), ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'),
    ('IntervalStyle', 'postgres'), ('bytea_output', 'hex'), ('extra_float_digits', '1'),
    ('xmloption', 'content'), ('statement_timeout', '0'), ('lock_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0')
) AS wanted(name, value) JOIN pg_settings USING (name)
"""
_SEES_ALL = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
# What an extension brought is not ours. The largest first.
_OBJECTS = """
SELECT format('%I.%I', space.nspname, class.relname) AS name, class.relkind = 'r' AS is_table,
       format($statement$
           SELECT count(*) AS rows, coalesce(sum(('x' || encode(substr(sha256(convert_to(
               whole_row_::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint), 0)::text AS total
           FROM %I.%I AS whole_row_
       $statement$, space.nspname, class.relname) AS counting
FROM pg_class AS class JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE space.nspname !~ '^pg_' AND space.nspname <> 'information_schema'
  AND class.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND NOT EXISTS (SELECT FROM pg_depend AS part WHERE part.classid = 'pg_class'::regclass
                  AND part.objid = class.oid AND part.deptype = 'e')
ORDER BY class.relkind = 'r' DESC, class.relpages DESC, 1
"""
_STATE = """
SELECT (SELECT epoch FROM log_state) AS epoch,
       (SELECT format('%s %s', xid, seq) FROM events ORDER BY xid DESC, seq DESC LIMIT 1) AS last,
       (SELECT array_agg(name ORDER BY number) FROM schema_migrations) AS migrations,
       ARRAY(SELECT kid FROM subject_keys WHERE kid IS NOT NULL
             UNION SELECT kid FROM digest_keys ORDER BY 1) AS key_ids,
       pg_database_size(current_database()) AS size,
       (SELECT system_identifier FROM pg_control_system()) AS system_identifier
"""
_PREPARED = """
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') AND (
    SELECT count(*) FROM pg_roles WHERE rolname IN ('guild_owner', 'guild_app', 'guild_log')) = 3
"""


class NotWhole(RuntimeError):
    """The role does not see every row; the text says which role is needed."""


class SchemaChanges(RuntimeError):
    """A migration is under way."""


class TableState(NamedTuple):
    """One table: how many rows, and their checksum in 16 hexadecimal digits."""

    rows: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """What else there is to know of a database.

    Attributes:
        position: of the last event; None in an empty log.
        migrations: file names, by number.
        key_ids: keys of ``SECRET_KEY`` that something in it is wrapped under.
        size_bytes: on the disk.
        system_identifier: of the server.
    """

    position: Position | None
    epoch: int
    migrations: tuple[str, ...]
    key_ids: tuple[str, ...]
    size_bytes: int
    system_identifier: int


class Snapshot:
    """A moment of a database, for as long as it is held: nothing that happens later is seen.

    Attributes:
        exported: name by which other sessions of the server take the same moment.
    """

    def __init__(self, connection: Connection, exported: str) -> None:
        self._connection = connection
        self.exported = exported

    async def state(self) -> LogState:
        """Of the log, its schema and its keys."""
        row = await self._connection.fetchrow(_STATE)
        assert row is not None  # noqa: S101  # without FROM there is always a row
        xid, _, seq = (row["last"] or "").partition(" ")
        return LogState(
            position=Position(int(xid), int(seq), row["epoch"]) if xid else None,
            epoch=row["epoch"],
            migrations=tuple(row["migrations"]),
            key_ids=tuple(row["key_ids"]),
            size_bytes=row["size"],
            system_identifier=row["system_identifier"],
        )

    async def tables(
        self, counted: Callable[[int, int], None] = lambda done, total: None
    ) -> Mapping[str, TableState]:
        """Every table, the largest first; a partition is one of its own.

        Args:
            counted: is told how many are counted, of how many.
        """
        rows = [row for row in await self._connection.fetch(_OBJECTS) if row["is_table"]]
        found: dict[str, TableState] = {}
        for row in rows:
            counted(len(found), len(rows))
            line = await self._connection.fetchrow(row["counting"])
            assert line is not None  # noqa: S101  # an aggregate always answers
            checksum = int(line["total"]) % _MODULUS
            found[row["name"]] = TableState(line["rows"], f"{checksum:016x}")
        counted(len(found), len(rows))
        return found


@asynccontextmanager
async def connected(url: str, *, timeout_s: float) -> AsyncIterator[Connection]:
    """A connection whose rows read the same everywhere, closed afterwards.

    Args:
        url: of a superuser, or of a role with BYPASSRLS that may read everything.
        timeout_s: of each statement.

    Raises:
        NotWhole: row-level security would hide rows from this role.
    """
    connection = await asyncpg.connect(url, command_timeout=timeout_s)
    try:
        if not await connection.fetchval(_SEES_ALL):
            raise NotWhole(
                "row-level security hides rows from this role: a superuser is needed, or a role"
                " with BYPASSRLS that is a member of pg_read_all_data"
            )
        await connection.execute(_SESSION)
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def held(connection: Connection) -> AsyncIterator[Snapshot]:
    """Holds the present moment. Nobody changes the schema meanwhile; rows change as ever.

    It has no transaction id, so it does not hold the log's horizon.

    Raises:
        SchemaChanges: somebody is changing the schema just now.
    """
    try:
        await connection.execute(f"SET lock_timeout = {_LOCK_WITHIN_MS}")
        await connection.execute("SELECT pg_advisory_lock_shared($1)", LOCK)
    except asyncpg.LockNotAvailableError as error:
        raise SchemaChanges(
            "the schema is being changed: try again when the migration has ended"
        ) from error
    finally:
        await connection.execute("SET lock_timeout = 0")
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield Snapshot(connection, await connection.fetchval("SELECT pg_export_snapshot()"))
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock_shared($1)", LOCK)


async def objects(connection: Connection) -> list[str]:
    """Names of all tables, views and sequences that no extension brought; none in an empty one."""
    return [row["name"] for row in await connection.fetch(_OBJECTS)]


async def is_prepared(connection: Connection) -> bool:
    """Whether roles and extension are there: what `python -m cluster.bootstrap` makes."""
    return bool(await connection.fetchval(_PREPARED))
