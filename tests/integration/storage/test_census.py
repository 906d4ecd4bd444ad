"""What a database holds, and that it stays what it is while it is counted and copied."""

from datetime import timedelta

import asyncpg
import pytest

from actors import clock
from actors.settings import LogSettings
from actors.storage import census
from actors.storage.housekeeping import keep_house
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import append, new_guild, opened

pytestmark = pytest.mark.integration


_Row = tuple[int, str | None]
_ONE, _TWO = (1, "[0.1,2]"), (2, None)


async def _checksum(prepared: PreparedDatabase, *rows: _Row) -> census.TableState:
    async with census.connected(prepared.admin_url, timeout_s=10) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS notes (number int, vector vector(2))")
        await connection.execute("TRUNCATE notes")
        await connection.executemany("INSERT INTO notes VALUES ($1, $2::text::vector)", rows)
        async with census.held(connection) as snapshot:
            return (await snapshot.tables())["public.notes"]


async def test_a_checksum_is_of_the_rows_and_not_of_their_order(
    fresh_database: PreparedDatabase,
) -> None:
    one = await _checksum(fresh_database, _ONE, _TWO)

    turned = await _checksum(fresh_database, _TWO, _ONE)
    changed = await _checksum(fresh_database, (1, "[0.1,2.1]"), _TWO)
    doubled = await _checksum(fresh_database, _ONE, _TWO, _TWO)

    assert turned == one
    assert len({one.checksum, changed.checksum, doubled.checksum}) == 3
    assert (one.rows, doubled.rows) == (2, 3)


async def test_a_moment_that_is_held_does_not_see_what_is_written_meanwhile(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url) as app,
        census.connected(fresh_database.admin_url, timeout_s=10) as connection,
    ):
        async with app.transaction(guild) as tx:
            await append(tx, guild, "inc_1", count=3)
        async with census.held(connection) as snapshot:
            async with app.transaction(guild) as tx:
                await append(tx, guild, "inc_2", count=3)
            tables, state = await snapshot.tables(), await snapshot.state()
        async with census.held(connection) as snapshot:
            later = await snapshot.state()

    assert tables["public.events_default"].rows == 3
    assert state.position is not None
    assert later.position is not None
    assert state.position < later.position
    assert state.migrations[0] == "001_core.sql"


async def test_a_role_that_does_not_see_every_row_counts_none(
    fresh_database: PreparedDatabase,
) -> None:
    with pytest.raises(census.NotWhole, match="row-level security hides rows"):
        async with census.connected(fresh_database.owner_url, timeout_s=10):
            pass


async def test_the_partitions_of_the_log_stay_as_they_are_while_a_backup_is_taken(
    fresh_database: PreparedDatabase,
) -> None:
    later = clock.now() + timedelta(days=400)
    async with opened(fresh_database.log_url) as across:
        async with (
            census.connected(fresh_database.admin_url, timeout_s=10) as connection,
            census.held(connection),
        ):
            meanwhile = await keep_house(across, LogSettings(), later)
        afterwards = await keep_house(across, LogSettings(), later)

    assert (meanwhile.partitions_made, meanwhile.partitions_dropped) == (0, ())
    assert afterwards.partitions_made > 0


async def test_an_empty_database_has_no_objects_and_one_with_roles_and_extension_is_prepared(
    fresh_database: PreparedDatabase,
) -> None:
    admin = await asyncpg.connect(fresh_database.admin_url)
    full = await census.objects(admin)
    await admin.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    empty, without = await census.objects(admin), await census.is_prepared(admin)
    await admin.execute("CREATE EXTENSION vector")
    with_extension, prepared = await census.objects(admin), await census.is_prepared(admin)
    await admin.close()

    assert "public.log_state" in full
    assert (empty, with_extension) == ([], [])
    assert (without, prepared) == (False, True)
