"""On which server a backup is taken, restored or tried: yours, or the local stack's own."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from actors.settings import GuildSettings
from cluster.bootstrap import Passwords, bootstrap
from cluster.credentials import Credentials
from cluster.plan import DATABASE
from cluster.preflight import lock_folder, open_folder
from cluster.problem import StackProblem
from cluster.process import free_ports
from cluster.services import PostgresServer
from cluster.state import Stack

_START_TIMEOUT_S = 120.0


def source(config: GuildSettings, database: str) -> str:
    """An administrator's URL of the guild's database: as set, or of the running local stack.

    Raises:
        StackProblem: neither is there.
    """
    if given := config.admin_database_url.get_secret_value():
        return of_database(given, database)
    folder = config.data_dir.resolve()
    stack = Stack.load(folder)
    if stack is None or not stack.running or "postgres" not in stack.pids:
        raise StackProblem(
            f"no stack with a database of its own runs in {folder}: set"
            " GUILD_ADMIN_DATABASE_URL, or name the stack's folder in GUILD_DATA_DIR"
        )
    return _own_url(Credentials.load_or_make(folder).postgres_admin, stack.ports["postgres"])


@asynccontextmanager
async def target(config: GuildSettings, database: str) -> AsyncIterator[str]:
    """An administrator's URL of the database to restore into, on a server that runs meanwhile.

    Without ``GUILD_ADMIN_DATABASE_URL`` it is the local stack's own server, in ``GUILD_DATA_DIR``;
    roles and database are made there where they are missing.

    Raises:
        StackProblem: the stack runs, or the server does not start.
    """
    if given := config.admin_database_url.get_secret_value():
        yield of_database(given, database)
        return
    folder = config.data_dir.resolve()
    open_folder(folder)
    with lock_folder(folder):
        credentials = Credentials.load_or_make(folder)
        server = PostgresServer(
            folder / "postgres",
            port=free_ports(1)[0],
            password=credentials.postgres_admin,
            environment={},
            log=folder / "logs" / "postgres.log",
        )
        async with _started(server, credentials.roles) as url:
            yield url


@asynccontextmanager
async def scratch(folder: Path | None) -> AsyncIterator[str]:
    """An administrator's URL of an empty, prepared database on a server that is thrown away.

    It is a server of its own: whoever writes in another database of the guild's server holds the
    guild's log.

    Args:
        folder: where its data lie meanwhile; default: the system's for temporary files.
    """
    with _thrown_away(folder) as place:
        passwords = Passwords.generate()
        server = PostgresServer(
            place / "postgres",
            port=free_ports(1)[0],
            password=passwords.owner,
            environment={},
            durable=False,
        )
        async with _started(server, passwords) as url:
            yield url


def of_database(url: str, database: str) -> str:
    """The same server and role, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))


def place_of(url: str) -> str:
    """Database and server for a sentence; nothing secret."""
    parts = urlsplit(url)
    return f"{parts.path.lstrip('/')} at {parts.netloc.rpartition('@')[2]}"


@asynccontextmanager
async def _started(server: PostgresServer, roles: Passwords) -> AsyncIterator[str]:
    await asyncio.to_thread(server.prepare)
    try:
        await server.start(timeout_s=_START_TIMEOUT_S)
        await bootstrap(server.admin_url, roles, database=DATABASE)
        yield of_database(server.admin_url, DATABASE)
    finally:
        server.stop()


@contextmanager
def _thrown_away(folder: Path | None) -> Iterator[Path]:
    # Absolute: the server works in a folder of its own.
    place = Path(tempfile.mkdtemp(prefix="guild-verify-", dir=folder)).absolute()
    try:
        place.chmod(0o711)  # the account PostgreSQL runs as must get through
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _own_url(password: str, port: int) -> str:
    return f"postgresql://postgres:{quote(password, safe='')}@127.0.0.1:{port}/{DATABASE}"
