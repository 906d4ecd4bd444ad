"""The Identity sage's store on PostgreSQL, and what an operator does from the host."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from actors.errors import NotAuthenticated
from actors.identity.messages import (
    ChangeRole,
    ClientCredentials,
    LogIn,
    Role,
    RotateClientSecret,
    SetDisabled,
)
from actors.identity.passwords import Passwords
from actors.identity.postgres import PostgresIdentityStore
from actors.identity.sage import IdentitySage
from actors.runtime.message import GuildId, Permission
from actors.settings import GuildSettings
from actors.storage.database import Database
from cluster import accounts, admin
from tests.fixtures.gateway import quick_passwords
from tests.fixtures.identity_contract import IdentityStoreContract, add_user, context
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SECRET_KEY, new_vault

pytestmark = pytest.mark.integration

SEALING = GuildSettings(secret_key=SecretStr(SECRET_KEY))


@pytest.fixture
async def database(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    opened = await Database.open(
        fresh_database.app_url, GuildSettings().database, vault=new_vault()
    )
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> PostgresIdentityStore:
    return PostgresIdentityStore(database)


@pytest.fixture
async def guild(fresh_database: PreparedDatabase) -> GuildId:
    return await admin.create_guild(fresh_database.owner_url, "one")


@pytest.fixture
async def other_guild(fresh_database: PreparedDatabase) -> GuildId:
    return await admin.create_guild(fresh_database.owner_url, "two")


class TestPostgresIdentityStore(IdentityStoreContract):
    """The contract, with row-level security under it."""


async def test_row_security_hides_logins_and_hashes_of_other_guilds(
    store: PostgresIdentityStore, database: Database, guild: GuildId, other_guild: GuildId
) -> None:
    await add_user(store, guild, "mine")
    await add_user(store, other_guild, "theirs")

    async with database.read(guild) as tx:
        names = [row["login"] for row in await tx.fetch("SELECT login FROM logins")]
        hashes = await tx.fetchval("SELECT count(*) FROM principals")
    async with database.across_guilds() as tx:
        without_guild = await tx.fetchval("SELECT count(*) FROM logins")

    assert (names, hashes, without_guild) == (["mine"], 1, 0)


async def test_a_temporary_table_cannot_stand_in_for_the_logins(
    store: PostgresIdentityStore, fresh_database: PreparedDatabase, guild: GuildId
) -> None:
    await add_user(store, guild, "mine")
    connection = await asyncpg.connect(fresh_database.app_url)

    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TEMP TABLE logins (login text, guild_id text)")
        found = await connection.fetchval("SELECT guild_of_login('mine')")
    finally:
        await connection.close()

    assert found == guild


async def test_the_first_guild_is_made_once_and_its_secrets_work(
    store: PostgresIdentityStore, fresh_database: PreparedDatabase
) -> None:
    urls = (fresh_database.owner_url, fresh_database.app_url)

    first = await admin.ensure_first_guild(*urls, config=SEALING)
    again = await admin.ensure_first_guild(*urls, config=SEALING)

    assert first is not None
    assert again is None
    sage = IdentitySage(store, Passwords(GuildSettings().identity))
    nobody = context(GuildId(""))
    person = await sage.log_in(
        LogIn(context=nobody, login=first.admin_login, password=first.admin_password)
    )
    program = await sage.client_credentials(
        ClientCredentials(
            context=nobody,
            client_id=first.alertmanager_client_id,
            secret=first.alertmanager_client_secret,
        )
    )
    assert person.guild_id == first.guild_id
    assert person.permissions == {Permission.ADMIN}
    assert program.permissions == {Permission.WRITE, Permission.INCIDENT}


async def test_a_name_that_is_nobodys_is_not_authenticated(store: PostgresIdentityStore) -> None:
    sage = IdentitySage(store, quick_passwords(GuildSettings()))
    nobody = context(GuildId(""))

    with pytest.raises(NotAuthenticated):
        await sage.log_in(LogIn(context=nobody, login="nobody", password="x"))
    with pytest.raises(NotAuthenticated):
        await sage.client_credentials(
            ClientCredentials(context=nobody, client_id="nobody", secret="x")
        )


async def test_an_operator_resets_a_password(
    store: PostgresIdentityStore, fresh_database: PreparedDatabase
) -> None:
    first = await admin.ensure_first_guild(
        fresh_database.owner_url, fresh_database.app_url, config=SEALING
    )
    assert first is not None

    async with admin.open_identity(fresh_database.app_url, GuildSettings()) as identity:
        guild_id = await identity.guild_of(first.admin_login)
        await identity.reset_password(guild_id, first.admin_login, "a whole new phrase")

    sage = IdentitySage(store, Passwords(GuildSettings().identity))
    with pytest.raises(NotAuthenticated):
        await sage.log_in(
            LogIn(
                context=context(GuildId("")),
                login=first.admin_login,
                password=first.admin_password,
            )
        )


async def test_an_operator_changes_disables_and_rotates_by_login(
    store: PostgresIdentityStore, fresh_database: PreparedDatabase, guild: GuildId
) -> None:
    async with admin.open_identity(fresh_database.app_url, SEALING) as identity:
        await identity.create_user(guild, "ann", "a phrase of the tests", Role.USER)
        await identity.create_client(guild, "robot", "s" * 43, frozenset({Permission.READ}))

        changed = await accounts.change(
            identity,
            "ann",
            lambda one, origin: ChangeRole(
                **origin, principal_id=one.principal_id, role=Role.ELDER
            ),
        )
        out = await accounts.change(
            identity,
            "ann",
            lambda one, origin: SetDisabled(
                **origin, kind=one.kind, principal_id=one.principal_id, disabled=True
            ),
        )
        await accounts.change(
            identity,
            "robot",
            lambda one, origin: RotateClientSecret(
                **origin, client_id=one.principal_id, secret="t" * 43
            ),
        )
        with pytest.raises(ValueError, match="nobody is called"):
            await accounts.change(
                identity,
                "nobody",
                lambda one, origin: RotateClientSecret(
                    **origin, client_id=one.principal_id, secret="t" * 43
                ),
            )

    sage = IdentitySage(store, Passwords(GuildSettings().identity))
    nobody = context(GuildId(""))
    assert (changed.role, out.disabled, out.version) == (Role.ELDER, True, 3)
    await sage.client_credentials(
        ClientCredentials(context=nobody, client_id="robot", secret="t" * 43)
    )
    for refused in (
        sage.log_in(LogIn(context=nobody, login="ann", password="a phrase of the tests")),
        sage.client_credentials(
            ClientCredentials(context=nobody, client_id="robot", secret="s" * 43)
        ),
    ):
        with pytest.raises(NotAuthenticated):
            await refused
