import asyncio
import datetime
from collections.abc import Iterator

import asyncpg
import pytest

from actors.events import PrincipalCreated, TaskDeleted, decode
from actors.settings import DatabaseSettings, settings
from actors.storage import migrate as migrations
from actors.storage.migrate import Migration, MigrationError, migrate, shipped
from cluster.bootstrap import Passwords, bootstrap
from cluster.migrate import main as migrate_command
from cluster.services import PostgresServer
from tests.fixtures.services import PreparedDatabase, run_now

pytestmark = pytest.mark.integration

_PASSWORDS = Passwords(owner="owner-of-tests", app="app-of-tests", log="log-of-tests")


_FILES = shipped()
_TASK = """
INSERT INTO tasks (guild_id, task_id, name, description, category, status, priority, origin,
                   ordinal, progress, result, error, reason, retry_count, max_retries,
                   knowledge_refs, incident_refs, blocked_by, tags, labels, correlation_id,
                   version, created_at, created_by, updated_at, updated_by)
VALUES ('gld_1', $1, 'n', '', 'c', 'pending', 'normal', 'person', 0, 0, '', '', '', 0, 0,
        '{}', '{}', '[]', '{}', '{}', 'c', $2, '2023-01-01', 'p', '2023-01-01', 'p')
"""


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of the owner of a database with roles and extension, and nothing else."""
    made = run_now(bootstrap(postgres_server.admin_url, _PASSWORDS, database="empty"))
    yield made.owner
    run_now(_as_admin(postgres_server, "DROP DATABASE empty WITH (FORCE)"))


async def _as_admin(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.admin_url)
    await connection.execute(statement)
    await connection.close()


async def schema_of(owner_url: str) -> list[tuple[str, str, str]]:
    connection = await asyncpg.connect(owner_url)
    rows = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, 2"
    )
    await connection.close()
    return [tuple(row) for row in rows]


async def test_an_empty_database_is_migrated_once_and_a_second_run_changes_nothing(
    empty_database: str,
) -> None:
    first = await migrate(empty_database)
    schema = await schema_of(empty_database)
    second = await migrate(empty_database)

    assert first == [migration.name for migration in shipped()]
    assert (second, await schema_of(empty_database)) == ([], schema)


def test_the_shipped_files_are_numbered_without_gap_or_double() -> None:
    numbers = [migration.number for migration in shipped()]

    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1


async def test_a_file_that_changed_after_it_was_applied_is_refused(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty_database)
    first, *rest = shipped()
    changed = Migration(first.number, first.name, first.sql + "-- a thought")
    monkeypatch.setattr(migrations, "shipped", lambda: [changed, *rest])

    with pytest.raises(MigrationError, match="was changed after it was applied"):
        await migrate(empty_database)


async def test_a_database_that_is_newer_than_the_code_is_refused(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = Migration(999, "999_later.sql", "CREATE TABLE later (x int);")
    monkeypatch.setattr(migrations, "shipped", lambda: [*_FILES, later])
    await migrate(empty_database)
    monkeypatch.setattr(migrations, "shipped", lambda: _FILES)

    with pytest.raises(MigrationError, match="has migration 999, this version does not know it"):
        await migrate(empty_database)


async def test_a_migration_that_fails_leaves_nothing_of_itself(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty_database)
    schema = await schema_of(empty_database)
    broken = Migration(999, "999_broken.sql", "CREATE TABLE half (x int); SELECT 1 / 0;")
    monkeypatch.setattr(migrations, "shipped", lambda: [*_FILES, broken])

    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database)

    assert await schema_of(empty_database) == schema


def test_a_migration_has_the_time_that_is_set_and_says_when_it_was_too_short(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(migrate(empty_database))
    slow = Migration(999, "999_slow.sql", "CREATE TABLE half (x int); SELECT pg_sleep(9);")
    monkeypatch.setattr(migrations, "shipped", lambda: [*_FILES, slow])
    monkeypatch.setattr("cluster.migrate.settings", settings.__wrapped__)
    monkeypatch.setenv("GUILD_MIGRATION_DATABASE_URL", empty_database)
    monkeypatch.setenv("GUILD_DATABASE__MIGRATION_TIMEOUT_S", "1")

    code = migrate_command()

    assert code == 1
    assert "GUILD_DATABASE__MIGRATION_TIMEOUT_S" in capsys.readouterr().err
    assert DatabaseSettings().migration_timeout_s > 60
    assert "half" not in {table for table, _, _ in asyncio.run(schema_of(empty_database))}


async def test_logins_that_were_written_in_clear_stay_behind_when_the_log_moves(
    postgres_server: PostgresServer, empty_database: str
) -> None:
    owner = await asyncpg.connect(empty_database)
    for migration in _FILES[:6]:
        await owner.execute(migration.sql)
    admin = await asyncpg.connect(postgres_server.admin_url.rpartition("/")[0] + "/empty")
    await admin.execute("INSERT INTO guilds (guild_id, name) VALUES ('gld_1', 'one')")
    for number, (kind, data) in enumerate(
        [
            ("user.created", '{"kind": "user", "login": "person", "principal_id": "user_1"}'),
            ("user.created", '{"kind": "client", "login": "program", "principal_id": "program"}'),
            ("sage.task.deleted", '{"task_id": "person"}'),
        ],
        start=1,
    ):
        await admin.execute(
            "INSERT INTO events (guild_id, event_id, source, type, aggregate_id, aggregate_version,"
            " priority, occurred_at, correlation_id, principal_id, data)"
            " VALUES ('gld_1', $1, 's', $2, 'a', $3, 'low', now(), 'c', 'p', $4)",
            f"evt_{number}",
            kind,
            number,
            data,
        )

    await owner.execute(_FILES[6].sql)

    rows = await admin.fetch("SELECT type, data FROM events ORDER BY seq")
    await admin.close()
    await owner.close()
    payloads = [decode(row["type"], row["data"]) for row in rows]
    assert payloads == [
        PrincipalCreated(principal_id="user_1", kind="user", login=""),
        PrincipalCreated(principal_id="program", kind="client", login="program"),
        TaskDeleted(task_id="person"),
    ]


async def test_sources_that_are_there_get_the_access_and_the_time_of_their_version(
    postgres_server: PostgresServer, empty_database: str
) -> None:
    owner = await asyncpg.connect(empty_database)
    for migration in _FILES[:8]:
        await owner.execute(migration.sql)
    admin = await asyncpg.connect(postgres_server.admin_url.rpartition("/")[0] + "/empty")
    await admin.execute("SET session_replication_role = replica")  # without what belongs to them
    for source, kind, version in [
        ("doc_1", "document", 2),
        ("know_1", "knowledge", 1),
        ("inc_1", "incident", 3),
        ("task_1", "task", 1),
        ("task_2", "task", 1),
    ]:
        await admin.execute(
            "INSERT INTO sources VALUES ('gld_1', $1, $2, $3, 1, NULL, 't', '', 'k', 's',"
            " '{}', '{}', '{}', '{}', false)",
            source,
            kind,
            version,
        )
    await admin.execute(
        "INSERT INTO document_versions SELECT 'gld_1', 'doc_1', version, 't', 'c', 'text/plain',"
        " '', NULL, 'k', '{}', '{}', '{}', '{}', make_date(2020, version, 1)"
        " FROM generate_series(1, 2) AS version"
    )
    await admin.execute(
        "INSERT INTO knowledge_versions SELECT 'gld_1', 'know_1', version, 't', 'active',"
        " make_date(2021, version, 1), 'p', jsonb_build_object('access_level', level)"
        " FROM (VALUES (1, 'protected'), (2, 'public')) AS known(version, level)"
    )
    await admin.execute(
        "INSERT INTO incident_versions VALUES ('gld_1', 'inc_1', 3, '{}', '2022-01-01')"
    )
    for task, version in [("task_1", 1), ("task_2", 2)]:
        await admin.execute(_TASK, task, version)

    for migration in _FILES[8:]:
        await owner.execute(migration.sql)

    rows = await admin.fetch(
        "SELECT source_id, access_level, changed_at::date::text, changed_at > now() - interval '1d'"
        " FROM sources ORDER BY source_id"
    )
    await admin.close()
    await owner.close()
    assert [tuple(row)[:3] for row in rows[:4]] == [
        ("doc_1", "public", "2020-02-01"),
        ("inc_1", "public", "2022-01-01"),
        ("know_1", "protected", "2021-01-01"),
        ("task_1", "public", "2023-01-01"),
    ]
    assert rows[4][3], "a task that is ahead of search changes at its next event"


async def test_vectors_of_a_second_model_are_made_again_and_no_other_row_changes(
    postgres_server: PostgresServer, empty_database: str
) -> None:
    owner = await asyncpg.connect(empty_database)
    for migration in _FILES[:10]:
        await owner.execute(migration.sql)
    admin = await asyncpg.connect(postgres_server.admin_url.rpartition("/")[0] + "/empty")
    for guild in ("gld_1", "gld_2"):
        await admin.execute("INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild)
        await admin.execute(
            "INSERT INTO sources VALUES ($1, 'src', 'document', 1, 1, NULL, 't', '', 'k', 's',"
            " '{}', '{}', '{}', '{}', false)",
            guild,
        )
    for number, model in enumerate(["much", "little", "much", None]):
        await admin.execute(
            "INSERT INTO chunks (guild_id, chunk_id, source_id, position, heading, body,"
            " char_start, char_end, embedded_text, embedding, model_id)"
            " VALUES ('gld_1', $1, 'src', $2, '', 'b', 0, 1, '', $3::text::vector, $4)",
            f"chk_{number}",
            number,
            None if model is None else str([1] * 384),
            model,
        )

    await owner.execute(_FILES[10].sql)

    models = await admin.fetch("SELECT guild_id, model_id, dimension FROM guild_models")
    chunks = await admin.fetch("SELECT model_id, embedding IS NULL FROM chunks ORDER BY chunk_id")
    await admin.execute("UPDATE chunks SET embedding = '[1,2]', model_id = 'm' WHERE position = 3")
    await admin.close()
    await owner.close()
    assert [tuple(row) for row in models] == [("gld_1", "much", 384)]
    assert [tuple(row) for row in chunks] == [
        ("much", False),
        (None, True),
        ("much", False),
        (None, True),
    ]


async def test_a_missing_extension_is_told_in_a_sentence(
    postgres_server: PostgresServer, empty_database: str
) -> None:
    admin = postgres_server.admin_url.rpartition("/")[0] + "/empty"
    connection = await asyncpg.connect(admin)
    await connection.execute("DROP EXTENSION vector")
    await connection.close()

    with pytest.raises(MigrationError, match="no `vector` extension"):
        await migrate(empty_database)


async def test_a_row_dated_next_year_inserts(fresh_database: PreparedDatabase) -> None:
    next_year = datetime.datetime(datetime.date.today().year + 1, 6, 1, tzinfo=datetime.UTC)
    admin = await asyncpg.connect(fresh_database.admin_url)
    await admin.execute("INSERT INTO guilds (guild_id, name) VALUES ('gld_1', 'one')")

    await admin.execute(
        "INSERT INTO events (guild_id, event_id, source, type, aggregate_id, aggregate_version,"
        " priority, occurred_at, recorded_at, correlation_id, principal_id, data)"
        " VALUES ('gld_1', 'evt_1', 's', 't', 'a', 1, 'low', $1, $1, 'c', 'p', '{}')",
        next_year,
    )

    assert await admin.fetchval("SELECT occurred_at FROM events") == next_year
    await admin.close()


async def test_roles_that_are_missing_are_told_in_a_sentence(older_server: PostgresServer) -> None:
    with pytest.raises(MigrationError, match="the roles guild_owner, guild_app and guild_log"):
        await migrate(older_server.admin_url)


async def test_postgresql_16_takes_every_migration_twice(older_server: PostgresServer) -> None:
    made = await bootstrap(older_server.admin_url, _PASSWORDS)
    connection = await asyncpg.connect(made.owner)
    version = connection.get_server_version()
    await connection.close()

    applied = [await migrate(made.owner), await migrate(made.owner)]

    assert version.major == 16
    assert applied == [[migration.name for migration in shipped()], []]
