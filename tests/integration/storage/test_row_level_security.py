import asyncpg
import pytest

from actors.runtime.message import GuildId
from actors.storage.database import AS_GUILD, Database
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import append, note, opened

pytestmark = pytest.mark.integration

_FORGED = """
INSERT INTO events (guild_id, event_id, source, type, aggregate_id, aggregate_version, priority,
                    occurred_at, correlation_id, principal_id, data)
VALUES ($1, 'evt_forged', 's', 't', 'inc_forged', 1, 'low', now(), 'c', 'p', '{}')
"""


async def test_a_guild_sees_its_own_rows_and_nobody_elses(
    app: Database, guild: GuildId, other_guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_mine")

    async with app.read(guild) as tx:
        mine = await tx.fetchval("SELECT count(*) FROM events")
    async with app.read(other_guild) as tx:
        theirs = await tx.fetchval("SELECT count(*) FROM events")

    assert (mine, theirs) == (1, 0)


async def test_without_a_guild_nothing_is_seen(
    app: Database, postgres: PreparedDatabase, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")
    connection = await asyncpg.connect(postgres.app_url)

    bare = await connection.fetchval("SELECT count(*) FROM events")
    guilds = await connection.fetchval("SELECT count(*) FROM guilds")
    await connection.close()

    assert (bare, guilds) == (0, 0)


async def test_the_guild_of_a_transaction_ends_with_it(app: Database, guild: GuildId) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")

    async with app.across_guilds() as tx:
        seen = await tx.fetchval("SELECT count(*) FROM events")

    assert seen == 0


async def test_a_row_for_another_guild_is_refused(
    app: Database, guild: GuildId, other_guild: GuildId
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with app.transaction(guild) as tx:
            await tx.execute(_FORGED, other_guild)


async def test_a_statement_of_its_own_is_of_the_guild_it_names_until_its_end(
    app: Database, guild: GuildId, other_guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_alone")
    count = f"WITH {AS_GUILD} SELECT count(*) FROM events WHERE (SELECT id FROM guild) = $1"  # noqa: S608  # constants

    async with app.statements() as tx:
        mine = await tx.fetchval(count, guild)
        afterwards = await tx.fetchval("SELECT count(*) FROM events")
        theirs = await tx.fetchval(count, other_guild)
        nobodys = await tx.fetchval(count, "")

    assert (mine, afterwards, theirs, nobodys) == (1, 0, 0, 0)


async def test_a_statement_of_its_own_writes_for_the_guild_it_names_only(
    app: Database, guild: GuildId, other_guild: GuildId
) -> None:
    forged = (
        f"WITH {AS_GUILD} INSERT INTO event_identities (guild_id, source, source_id, event_id, seq)"  # noqa: S608  # constants
        " SELECT $2, 's', 'forged', 'evt_forged', 1 WHERE (SELECT id FROM guild) = $1"
    )

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with app.statements() as tx:
            await tx.execute(forged, guild, other_guild)


@pytest.mark.parametrize("guild_id", ["", "'; DROP TABLE events; --", "gld_short", "gld_\u00e9"])
async def test_what_is_no_guild_id_never_reaches_the_server(app: Database, guild_id: str) -> None:
    with pytest.raises(ValueError, match="guild id"):
        async with app.transaction(GuildId(guild_id)):
            pass


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "INSERT INTO guilds (guild_id, name) VALUES ('gld_x', 'x')",
        "SELECT * FROM leaders",
        "DELETE FROM cursors",
        "SELECT * FROM pools",
        "DELETE FROM dead_letters",
        "ALTER TABLE events DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_guild ON events",
        "CREATE TABLE loot (x int)",
        "CREATE TEMP TABLE loot (x int)",
        "SET ROLE guild_owner",
        "SET ROLE guild_log",
    ],
)
async def test_the_sages_role_may_do_nothing_it_does_not_need(
    app: Database, guild: GuildId, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with app.transaction(guild) as tx:
            await tx.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "INSERT INTO inbox (guild_id, command_id) VALUES ('g', 'c')",
        "SELECT reply FROM inbox",
        "SELECT * FROM inbox",
        "SET ROLE guild_owner",
    ],
)
async def test_the_routers_role_reads_the_log_and_keeps_its_own_tables_only(
    across: Database, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with across.across_guilds() as tx:
            await tx.execute(statement)


async def test_every_table_with_a_guild_is_protected_even_from_its_owner(
    postgres: PreparedDatabase,
) -> None:
    connection = await asyncpg.connect(postgres.admin_url)

    rows = await connection.fetch(
        "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE attname = 'guild_id' AND relkind IN ('r', 'p') AND relname <> 'guilds'"
        " AND relnamespace = 'public'::regnamespace"
        " AND NOT (relrowsecurity AND relforcerowsecurity)"
    )
    await connection.close()

    assert [row["relname"] for row in rows] == []


async def test_the_owner_reads_past_no_policy(
    app: Database, postgres: PreparedDatabase, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")
    connection = await asyncpg.connect(postgres.owner_url)

    seen = await connection.fetchval("SELECT count(*) FROM events")
    await connection.close()

    assert seen == 0


async def test_a_role_that_bypasses_the_policies_is_refused(postgres: PreparedDatabase) -> None:
    with pytest.raises(RuntimeError, match="bypasses row-level security"):
        async with opened(postgres.admin_url):
            pass


async def test_a_server_that_acknowledges_before_it_writes_is_refused(
    fresh_database: PreparedDatabase,
) -> None:
    admin = await asyncpg.connect(fresh_database.admin_url)
    await admin.execute(
        f"ALTER ROLE guild_app IN DATABASE {fresh_database.name} SET synchronous_commit = off"
    )
    await admin.close()

    with pytest.raises(RuntimeError, match="synchronous_commit"):
        async with opened(fresh_database.app_url):
            pass


async def test_inbox_rows_of_another_guild_are_out_of_reach(
    app: Database, guild: GuildId, other_guild: GuildId
) -> None:
    command = note(guild, command_id="cmd_same")
    async with app.transaction(guild) as tx:
        await tx.execute(
            "INSERT INTO inbox (guild_id, command_id) VALUES ($1, $2)", guild, command.command_id
        )

    async with app.transaction(other_guild) as tx:
        changed = await tx.execute("UPDATE inbox SET reply = '1' WHERE command_id = 'cmd_same'")

    assert changed == "UPDATE 0"
