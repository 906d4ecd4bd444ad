"""`python -m cluster.bootstrap`: roles, database and extension, on our server or on yours.

Run it once with an administrator's URL; a second run changes nothing but the passwords you give.
"""

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from actors.settings import settings
from cluster.problem import StackProblem

_ROLES = ("guild_owner", "guild_app", "guild_log")
_TIMEOUT_S = 30.0
Connection = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """One password for each role of the database."""

    owner: str
    app: str
    log: str

    @classmethod
    def generate(cls) -> "Passwords":
        """Three random ones."""
        return cls(
            owner=secrets.token_urlsafe(24),
            app=secrets.token_urlsafe(24),
            log=secrets.token_urlsafe(24),
        )

    @classmethod
    def of(cls, given: "DatabaseUrls") -> "Passwords":
        """Those that three URLs name.

        Raises:
            StackProblem: a URL is not its role's, or has no password; the text says whose.
        """
        return cls(
            owner=_password_of("guild_owner", given.owner),
            app=_password_of("guild_app", given.app),
            log=_password_of("guild_log", given.log),
        )

    def by_role(self) -> dict[str, str]:
        """Role name to password."""
        return dict(zip(_ROLES, (self.owner, self.app, self.log), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrls:
    """How each role reaches the prepared database."""

    owner: str
    app: str
    log: str


def _password_of(role: str, url: str) -> str:
    parts = urlsplit(url)
    if unquote(parts.username or "") != role or not parts.password:
        raise StackProblem(f"there must be a URL with the role {role} and its password")
    return unquote(parts.password)


def urls(admin_url: str, database: str, passwords: Passwords) -> DatabaseUrls:
    """The URLs of the three roles on the administrator's server."""
    owner, app, log = (
        with_login(admin_url, role, password, database)
        for role, password in passwords.by_role().items()
    )
    return DatabaseUrls(owner=owner, app=app, log=log)


def with_login(url: str, user: str, password: str, database: str) -> str:
    """The same server, another user and database."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{place}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{quote(database, safe='')}"))


async def bootstrap(
    admin_url: str, passwords: Passwords, *, database: str = "guild"
) -> DatabaseUrls:
    """Makes the roles, the database and its extension; what exists is brought to this state.

    Args:
        admin_url: a role that may create roles, databases and the ``vector`` extension.
        passwords: set for the three roles.
        database: name of the database.

    Raises:
        StackProblem: the server cannot be used, in one sentence.
    """
    connection = await _connect(admin_url)
    try:
        await _require_vector(connection)
        for role, password in passwords.by_role().items():
            await _role(connection, role, password)
        await _database(connection, database)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StackProblem(f"the administrator's role may not prepare the database: {error}") from (
            error
        )
    finally:
        await connection.close()
    await _inside(admin_url, database)
    return urls(admin_url, database, passwords)


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(url, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        place = urlsplit(url).netloc.rpartition("@")[2] or "the given address"
        raise StackProblem(f"no connection to PostgreSQL at {place}: {error}") from error


async def _require_vector(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    known = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"
    if not await connection.fetchval(known):
        raise StackProblem(
            "the PostgreSQL server has no `vector` extension: install pgvector on it and try again"
        )


async def _role(connection: "asyncpg.Connection[asyncpg.Record]", role: str, password: str) -> None:
    exists = await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if exists else "CREATE"
    await _formatted(
        connection,
        f"{verb} ROLE %I LOGIN NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD %L",
        role,
        password,
    )
    # Setting these needs a superuser; on a managed server they are off by default.
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        await _formatted(connection, "ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOREPLICATION", role)
    elif await connection.fetchval(
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = $1", role
    ):
        raise StackProblem(f"the role {role} bypasses row-level security: take that right away")
    # A transaction left open holds the event log's horizon back for everybody.
    await _formatted(
        connection, "ALTER ROLE %I SET idle_in_transaction_session_timeout = %L", role, "30s"
    )
    await _formatted(connection, "ALTER ROLE %I SET synchronous_commit = %L", role, "on")
    if role == "guild_app" and connection.get_server_version().major >= 17:
        await _formatted(connection, "ALTER ROLE %I SET transaction_timeout = %L", role, "60s")


async def _database(connection: "asyncpg.Connection[asyncpg.Record]", database: str) -> None:
    known = "SELECT count(*) FROM pg_database WHERE datname = $1"
    if await connection.fetchval(known, database):
        return
    if not await connection.fetchval("SELECT pg_has_role(current_user, 'guild_owner', 'SET')"):
        await _formatted(connection, "GRANT guild_owner TO CURRENT_USER")
    await _formatted(
        connection,
        "CREATE DATABASE %I OWNER guild_owner ENCODING 'UTF8' TEMPLATE template0",
        database,
    )


async def _inside(admin_url: str, database: str) -> None:
    parts = urlsplit(admin_url)
    connection = await _connect(urlunsplit(parts._replace(path=f"/{quote(database, safe='')}")))
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await connection.execute("ALTER SCHEMA public OWNER TO guild_owner")
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await connection.execute("GRANT USAGE ON SCHEMA public TO guild_app, guild_log")
        # Also takes TEMP away: temporary tables hold the log's horizon back.
        await _formatted(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database)
        await _formatted(
            connection,
            "GRANT CONNECT ON DATABASE %I TO guild_owner, guild_app, guild_log",
            database,
        )
    except asyncpg.InsufficientPrivilegeError as error:
        raise StackProblem(
            f"the administrator's role may not prepare the database {database}: {error}"
        ) from error
    finally:
        await connection.close()


async def _formatted(
    connection: "asyncpg.Connection[asyncpg.Record]", template: str, *values: str
) -> None:
    """Runs a statement that takes no parameters, quoted by the server itself."""
    slots = ", ".join(f"${number}::text" for number in range(1, len(values) + 1))
    statement = template
    if values:
        statement = await connection.fetchval(f"SELECT format($f${template}$f$, {slots})", *values)
    await connection.execute(statement)


def _given_urls() -> DatabaseUrls:
    config = settings()
    return DatabaseUrls(
        owner=config.migration_database_url.get_secret_value(),
        app=config.database_url.get_secret_value(),
        log=config.log_database_url.get_secret_value(),
    )


def main(given: Sequence[str] = ()) -> int:
    """Prepares the server and prints the three URLs, as lines for an environment file."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.bootstrap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  GUILD_ADMIN_DATABASE_URL=postgresql://postgres:…@db.example:5432/postgres"
        " python -m cluster.bootstrap > guild.env",
    )
    parser.add_argument(
        "--admin-url",
        help="a role that may create roles and databases (GUILD_ADMIN_DATABASE_URL, which shows in"
        " no list of processes)",
    )
    parser.add_argument("--database", default="guild", help="name of the database (guild)")
    parser.add_argument(
        "--from-environment",
        action="store_true",
        help="the roles get the passwords of DATABASE_URL, GUILD_LOG_DATABASE_URL and"
        " GUILD_MIGRATION_DATABASE_URL; nothing is printed",
    )
    arguments = parser.parse_args(given)
    admin_url = arguments.admin_url or settings().admin_database_url.get_secret_value()
    if not admin_url:
        print("set GUILD_ADMIN_DATABASE_URL, or say --admin-url", file=sys.stderr)
        return 2
    try:
        passwords = (
            Passwords.of(_given_urls()) if arguments.from_environment else Passwords.generate()
        )
        made = asyncio.run(bootstrap(admin_url, passwords, database=arguments.database))
    except StackProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    if arguments.from_environment:
        return os.EX_OK
    if sys.stdout.isatty():
        print("# new passwords; keep these lines where only the stack can read them")
    print(f"DATABASE_URL={made.app}")
    print(f"GUILD_LOG_DATABASE_URL={made.log}")
    print(f"GUILD_MIGRATION_DATABASE_URL={made.owner}", flush=True)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
