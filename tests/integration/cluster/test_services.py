"""The embedded servers, for real."""

import asyncpg
import pytest
import redis.asyncio

from tests.fixtures.services import PreparedDatabase, RunningValkey

pytestmark = pytest.mark.integration


async def test_the_application_role_owns_nothing_and_obeys_row_level_security(
    postgres: PreparedDatabase,
) -> None:
    connection = await asyncpg.connect(postgres.app_url)

    role = await connection.fetchrow(
        "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole,"
        " (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid) AS owned"
        " FROM pg_roles WHERE rolname = current_user"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("CREATE TABLE mine (x int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("CREATE TEMP TABLE mine (x int)")
    await connection.close()

    assert role is not None
    assert tuple(role) == (False, False, False, False, 0)


async def test_no_session_can_hold_the_logs_horizon_for_long(postgres: PreparedDatabase) -> None:
    connection = await asyncpg.connect(postgres.app_url)

    names = ("idle_in_transaction_session_timeout", "transaction_timeout", "synchronous_commit")
    values = [await connection.fetchval("SELECT current_setting($1)", name) for name in names]
    prepared = await connection.fetchval("SHOW max_prepared_transactions")
    await connection.close()

    assert values == ["30s", "1min", "on"]
    assert prepared == "0"


async def test_a_fresh_database_is_migrated_and_empty(fresh_database: PreparedDatabase) -> None:
    connection = await asyncpg.connect(fresh_database.log_url)

    events = await connection.fetchval("SELECT count(*) FROM events")
    vector = await connection.fetchval("SELECT '[1,2]'::vector <=> '[1,2]'::vector")
    await connection.close()

    assert (events, vector) == (0, 0.0)


async def test_valkey_answers_with_its_password_only(valkey: RunningValkey) -> None:
    right = redis.asyncio.Redis.from_url(valkey.url)
    wrong = redis.asyncio.Redis.from_url(valkey.url.replace("valkey-of-tests", "guess"))

    answer = await right.ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        await wrong.ping()
    await right.aclose()
    await wrong.aclose()

    assert answer is True
