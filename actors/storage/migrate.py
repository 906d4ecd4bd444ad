"""Numbered, forward-only SQL migrations, applied in order, each in a transaction of its own."""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import asyncpg

from actors.storage.log_state import LogMoved, present_epoch
from actors.storage.schema_lock import LOCK

_FILE = re.compile(r"(\d{3})_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """The database cannot be brought to the schema of this version; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``migrations/``."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text: a file that changed after it was applied is refused."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, by number."""
    folder = resources.files("actors.storage") / "migrations"
    found = [
        Migration(int(match[1]), entry.name, entry.read_text())
        for entry in folder.iterdir()
        if (match := _FILE.fullmatch(entry.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


async def migrate(owner_url: str, *, timeout_s: float = 3_600.0) -> list[str]:
    """Applies what is missing and returns the names of the files it applied.

    Args:
        owner_url: connection of the role ``guild_owner``.
        timeout_s: for each file, and for another migrator or a backup to end.

    Raises:
        MigrationError: a file took too long, roles or the ``vector`` extension are missing, an
            applied file was changed, the database is newer than this version, or was restored from
            another server.
    """
    connection = await asyncpg.connect(owner_url, command_timeout=timeout_s)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await _check_ground(connection)
        applied = await _apply_missing(connection, shipped())
        await _check_at_home(connection)
        return applied
    except TimeoutError:
        raise MigrationError(
            f"it took longer than {timeout_s:g} s: nothing of the file that was under way is left;"
            " give it more with GUILD_DATABASE__MIGRATION_TIMEOUT_S"
        ) from None
    finally:
        await connection.close()


async def pending(owner_url: str, *, timeout_s: float = 10.0) -> list[str]:
    """The files that `migrate` would apply; changes nothing."""
    connection = await asyncpg.connect(owner_url, timeout=timeout_s, command_timeout=timeout_s)
    try:
        known = await connection.fetchval("SELECT to_regclass('schema_migrations')")
        rows = await connection.fetch("SELECT number FROM schema_migrations") if known else []
    finally:
        await connection.close()
    applied = {row["number"] for row in rows}
    return [one.name for one in shipped() if one.number not in applied]


async def _check_ground(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    roles = await connection.fetchval(
        "SELECT count(*) FROM pg_roles WHERE rolname IN ('guild_owner', 'guild_app', 'guild_log')"
    )
    if roles != 3:
        raise MigrationError(
            "the roles guild_owner, guild_app and guild_log are missing: "
            "run `python -m cluster.bootstrap` once"
        )
    if not await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'vector'"):
        raise MigrationError(
            "the database has no `vector` extension: install pgvector on the server and run "
            "CREATE EXTENSION vector as a superuser"
        )


async def _check_at_home(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await present_epoch(connection)
    except LogMoved as moved:
        raise MigrationError(str(moved)) from moved


async def _apply_missing(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: list[Migration]
) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT number, name, digest FROM schema_migrations")
    applied = {row["number"]: row for row in rows}
    if unknown := applied.keys() - {migration.number for migration in migrations}:
        raise MigrationError(
            f"the database has migration {max(unknown)}, this version does not know it: "
            "start the newer version"
        )
    done = []
    for migration in migrations:
        if (row := applied.get(migration.number)) is not None:
            if row["digest"] != migration.digest:
                raise MigrationError(f"{row['name']} was changed after it was applied")
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (number, name, digest) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.digest,
            )
        done.append(migration.name)
    return done
