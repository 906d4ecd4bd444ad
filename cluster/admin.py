"""`python -m cluster.admin`: guilds, their users and clients, from the host itself.

Whoever can run this has the database's passwords, so it asks for no other. There is no way to
create a guild over HTTP.
"""

import asyncio
import getpass
import secrets
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import asyncpg
import typer

from actors import clock
from actors.errors import DependencyUnavailable, ElderGuildError
from actors.identity.messages import (
    CreateClient,
    CreateUser,
    PrincipalView,
    ResetPassword,
    Role,
)
from actors.identity.passwords import Passwords
from actors.identity.postgres import PostgresIdentityStore
from actors.identity.sage import IdentitySage
from actors.runtime.message import Caller, Context, GuildId, Permission
from actors.settings import GuildSettings, settings
from actors.storage.database import Database
from actors.storage.vault import Vault

FIRST_GUILD = "guild"
ADMIN_LOGIN = "admin"
ALERTMANAGER_CLIENT = "alertmanager"
ALERTMANAGER_SCOPES = frozenset({Permission.WRITE, Permission.INCIDENT})

ResultT = TypeVar("ResultT")
app = typer.Typer(help="Guilds, users and clients, from the host itself.", no_args_is_help=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstGuild:
    """The one time that these secrets are known; only their hashes are stored."""

    guild_id: GuildId
    admin_login: str
    admin_password: str = field(repr=False)
    alertmanager_client_id: str
    alertmanager_client_secret: str = field(repr=False)


async def ensure_first_guild(
    owner_url: str,
    app_url: str,
    *,
    config: GuildSettings,
    admin_password: str | None = None,
    client_secret: str | None = None,
) -> FirstGuild | None:
    """Makes the first guild with its admin and a client for Alertmanager.

    Safe to repeat, also after a crash in between. Who wants to be sure to know the secrets after
    such a crash makes them first, keeps them, and passes them in.

    Args:
        owner_url: connection of the role ``guild_owner``, the only one that may add a guild.
        app_url: connection of the role ``guild_app``.
        config: for numbers, and ``secret_key``: what tells of the admin is sealed.
        admin_password: default: a random one.
        client_secret: default: a random one, 256 bits.

    Returns:
        What was made, or None where there was a guild with an admin already.
    """
    guild_id = await _first_guild(owner_url)
    async with open_identity(app_url, config) as identity:
        if await identity.exists(guild_id, ADMIN_LOGIN):
            return None
        first = FirstGuild(
            guild_id=guild_id,
            admin_login=ADMIN_LOGIN,
            admin_password=admin_password or new_secret(),
            alertmanager_client_id=ALERTMANAGER_CLIENT,
            alertmanager_client_secret=client_secret or new_secret(),
        )
        if not await identity.exists(guild_id, ALERTMANAGER_CLIENT):
            await identity.create_client(
                guild_id, ALERTMANAGER_CLIENT, first.alertmanager_client_secret, ALERTMANAGER_SCOPES
            )
        await identity.create_user(guild_id, ADMIN_LOGIN, first.admin_password, Role.ADMIN)
        return first


async def create_guild(owner_url: str, name: str) -> GuildId:
    """Adds a guild without anybody in it.

    Raises:
        ValueError: there is one of that name.
    """
    guild_id = GuildId(clock.new_id("guild"))
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(
            "INSERT INTO guilds (guild_id, name) VALUES ($1, $2)", guild_id, name
        )
    except asyncpg.UniqueViolationError as error:
        raise ValueError(f"there is a guild called {name}") from error
    finally:
        await connection.close()
    return guild_id


def new_secret() -> str:
    """256 random bits, as text."""
    return secrets.token_urlsafe(32)


class HostIdentity:
    """The Identity sage, used in this process on behalf of the host's operator.

    Attributes:
        sage: the sage itself.
    """

    def __init__(self, store: PostgresIdentityStore, sage: IdentitySage) -> None:
        self._store = store
        self.sage = sage

    async def exists(self, guild_id: GuildId, login: str) -> bool:
        """Whether the guild has a user or client of that name."""
        return await self._store.by_login(guild_id, login) is not None

    async def find(self, guild_id: GuildId, login: str) -> PrincipalView:
        """The user or client of that name.

        Raises:
            ValueError: the guild has none.
        """
        found = await self._store.by_login(guild_id, login)
        if found is None:
            raise ValueError(f"nobody is called {login}")
        return found.view()

    async def create_user(
        self,
        guild_id: GuildId,
        login: str,
        password: str,
        role: Role,
        serves: Permission | None = None,
    ) -> str:
        """Adds a user and returns its id."""
        command = CreateUser(
            **by_operator(guild_id), login=login, password=password, role=role, serves=serves
        )
        return (await self.sage.create_user(command)).principal_id

    async def create_client(
        self,
        guild_id: GuildId,
        client_id: str,
        secret: str,
        scopes: frozenset[Permission],
        redirect_uris: tuple[str, ...] = (),
    ) -> None:
        """Adds a client; with an empty secret a public one."""
        command = CreateClient(
            **by_operator(guild_id),
            client_id=client_id,
            secret=secret,
            scopes=scopes,
            redirect_uris=redirect_uris,
        )
        await self.sage.create_client(command)

    async def reset_password(self, guild_id: GuildId, login: str, password: str) -> None:
        """Replaces a user's password."""
        command = ResetPassword(**by_operator(guild_id), login=login, password=password)
        await self.sage.reset_password(command)

    async def guild_of(self, login: str) -> GuildId:
        """The guild that a login belongs to.

        Raises:
            ValueError: nobody is called that.
        """
        guild_id = await self._store.guild_of(login)
        if guild_id is None:
            raise ValueError(f"nobody is called {login}")
        return guild_id


@asynccontextmanager
async def open_identity(app_url: str, config: GuildSettings) -> AsyncIterator[HostIdentity]:
    """The sage over one connection, closed at the block's end."""
    database = await Database.open(app_url, config.database, connections=1, vault=Vault.of(config))
    try:
        store = PostgresIdentityStore(database, config.identity)
        sage = IdentitySage(store, Passwords(config.identity), config.identity)
        yield HostIdentity(store, sage)
    finally:
        await database.close()


async def _first_guild(owner_url: str) -> GuildId:
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(
            "INSERT INTO guilds (guild_id, name)"
            " SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM guilds) ON CONFLICT DO NOTHING",
            clock.new_id("guild"),
            FIRST_GUILD,
        )
        found = await connection.fetchval(
            "SELECT guild_id FROM guilds ORDER BY created_at, guild_id LIMIT 1"
        )
        return GuildId(found)
    finally:
        await connection.close()


def by_operator(guild_id: GuildId) -> dict[str, Any]:
    """The beginning of a command that whoever holds the host gives."""
    caller = Caller(
        guild_id=guild_id, principal_id="operator", permissions=frozenset({Permission.ADMIN})
    )
    context = Context(caller=caller, correlation_id=clock.new_id("cor"))
    return {"context": context, "command_id": clock.new_id("cmd")}


@app.command("create-guild")
def create_guild_command(name: str) -> None:
    """Adds a guild and prints its id."""
    print(run(create_guild(_url("GUILD_MIGRATION_DATABASE_URL"), name)))


@app.command("create-user")
def create_user_command(
    guild_id: str,
    login: str,
    role: Annotated[Role, typer.Option()] = Role.USER,
    serves: Annotated[Permission | None, typer.Option(help="for --role sage")] = None,
) -> None:
    """Adds a user; the password is read from the terminal, or from a pipe."""
    password = _password()

    async def work() -> str:
        async with open_identity(database_url(), settings()) as identity:
            return await identity.create_user(GuildId(guild_id), login, password, role, serves)

    print(run(work()))


@app.command("create-client")
def create_client_command(
    guild_id: str,
    client_id: str,
    scope: Annotated[list[Permission], typer.Option(help="may be given several times")],
    redirect_uri: Annotated[
        list[str] | None, typer.Option(help="it acts for people, who are sent back there")
    ] = None,
    public: Annotated[bool, typer.Option(help="it cannot keep a secret, and has none")] = False,
) -> None:
    """Adds a client and prints its secret, which cannot be shown again."""
    secret = "" if public else new_secret()
    uris = tuple(redirect_uri or ())

    async def work() -> None:
        async with open_identity(database_url(), settings()) as identity:
            await identity.create_client(
                GuildId(guild_id), client_id, secret, frozenset(scope), uris
            )

    run(work())
    print(secret)


@app.command("reset-password")
def reset_password_command(login: str) -> None:
    """Replaces a user's password, read from the terminal or from a pipe."""
    password = _password()

    async def work() -> None:
        async with open_identity(database_url(), settings()) as identity:
            await identity.reset_password(await identity.guild_of(login), login, password)

    run(work())


def _password() -> str:
    """Never an argument: command lines are visible to every user of the host."""
    return getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def database_url() -> str:
    """Of the role that the sages have; where it is not set, the command ends."""
    return _url("DATABASE_URL")


def _url(variable: str) -> str:
    config = settings()
    urls = {
        "DATABASE_URL": config.database_url,
        "GUILD_MIGRATION_DATABASE_URL": config.migration_database_url,
    }
    url = urls[variable].get_secret_value()
    if not url:
        print(f"{variable} is not set", file=sys.stderr)
        raise typer.Exit(2)
    return url


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Its result; what is expected to fail is printed, and ends the command."""
    try:
        return asyncio.run(work)
    except (DependencyUnavailable, OSError) as error:
        print(f"the database cannot be reached: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except (ElderGuildError, ValueError) as error:
        print(str(error), file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
