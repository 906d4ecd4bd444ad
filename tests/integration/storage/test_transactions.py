import asyncio
from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest

from actors.errors import DependencyUnavailable, ValidationError, VersionConflict
from actors.runtime import scope
from actors.runtime.message import GuildId
from actors.storage import inbox
from actors.storage.database import Database
from actors.storage.inbox import AlreadyHandled, Inbox
from actors.storage.log import of_correlation
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SETTINGS, append, kill_backends, note, opened

pytestmark = pytest.mark.integration


@pytest.fixture
async def single(postgres: PreparedDatabase) -> AsyncIterator[Database]:
    """One connection only: whatever is left on it meets the next user."""
    async with opened(postgres.app_url, connections=1) as database:
        yield database


async def events_of(app: Database, guild: GuildId, aggregate_id: str) -> list[int]:
    async with app.read(guild) as tx:
        rows = await tx.fetch(
            "SELECT aggregate_version FROM events WHERE aggregate_id = $1 ORDER BY xid, seq",
            aggregate_id,
        )
    return [row["aggregate_version"] for row in rows]


async def inbox_size(app: Database, guild: GuildId) -> int:
    async with app.read(guild) as tx:
        count: int = await tx.fetchval("SELECT count(*) FROM inbox")
    return count


async def test_row_and_event_are_written_together_or_not_at_all(
    app: Database, guild: GuildId
) -> None:
    async def fail_at_the_end() -> None:
        async with app.transaction(guild) as tx:
            await append(tx, guild, "inc_1")
            await inbox.record(tx, note(guild), "done")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_at_the_end()

    assert (await events_of(app, guild, "inc_1"), await inbox_size(app, guild)) == ([], 0)


async def test_a_commit_tells_its_position_and_that_there_is_something_to_read(
    postgres: PreparedDatabase, guild: GuildId
) -> None:
    nudges: list[None] = []
    database = await Database.open(
        postgres.app_url, SETTINGS, on_commit=lambda: nudges.append(None)
    )
    surroundings = scope.enter(10.0)

    async with database.transaction(guild) as tx:
        await append(tx, guild, "inc_1", count=3)
        position = tx.position
    async with database.transaction(guild) as tx:
        await tx.fetchval("SELECT 1")
    await database.close()

    assert position is not None
    assert (surroundings.position, len(nudges)) == (position, 1)


async def test_versions_follow_the_order_of_the_log(app: Database, guild: GuildId) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1", count=50)
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1", 50, count=50)

    assert await events_of(app, guild, "inc_1") == list(range(1, 101))


async def test_two_writers_of_one_version_meet_a_conflict(app: Database, guild: GuildId) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")

    with pytest.raises(VersionConflict):
        async with app.transaction(guild) as tx:
            await append(tx, guild, "inc_1")

    assert await events_of(app, guild, "inc_1") == [1]


async def test_a_transaction_that_began_to_write_first_cannot_append_behind_a_later_one(
    app: Database, guild: GuildId
) -> None:
    async def write_early_and_append_late() -> None:
        async with app.transaction(guild) as early:
            await append(early, guild, "inc_other")  # from here on it has its id
            async with app.transaction(guild) as late:
                await append(late, guild, "inc_1")
            await append(early, guild, "inc_1", 1)

    with pytest.raises(VersionConflict):
        await write_early_and_append_late()
    async with app.transaction(guild) as again:
        await append(again, guild, "inc_1", 1)

    assert await events_of(app, guild, "inc_1") == [1, 2]


async def test_lost_races_leave_as_version_conflict(app: Database, guild: GuildId) -> None:
    async with app.transaction(guild) as tx:
        await tx.execute("INSERT INTO inbox (guild_id, command_id) VALUES ($1, 'a')", guild)
        await tx.execute("INSERT INTO inbox (guild_id, command_id) VALUES ($1, 'b')", guild)

    async def lock(first: str, second: str, met: asyncio.Barrier) -> None:
        async with app.transaction(guild) as tx:
            await tx.execute("UPDATE inbox SET reply = '1' WHERE command_id = $1", first)
            await met.wait()
            await tx.execute("UPDATE inbox SET reply = '2' WHERE command_id = $1", second)

    met = asyncio.Barrier(2)
    results = await asyncio.gather(lock("a", "b", met), lock("b", "a", met), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["NoneType", "VersionConflict"]


async def test_a_reader_writes_nothing(app: Database, guild: GuildId) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with app.read(guild) as tx:
            await append(tx, guild, "inc_1")


async def test_the_inbox_answers_a_repeat_with_the_first_reply(
    app: Database, guild: GuildId
) -> None:
    command = note(guild, command_id="key-1", request_hash="h1")
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")
        await inbox.record(tx, command, "the first reply")
        position = tx.position

    recalled = await Inbox(app).recall(command)
    unknown = await Inbox(app).recall(note(guild))

    assert recalled is not None
    assert (recalled.reply, recalled.position, unknown) == ("the first reply", position, None)


async def test_the_inbox_refuses_one_key_for_two_requests(app: Database, guild: GuildId) -> None:
    async with app.transaction(guild) as tx:
        await inbox.record(tx, note(guild, command_id="key-1", request_hash="h1"), "reply")

    with pytest.raises(ValidationError):
        await Inbox(app).recall(note(guild, command_id="key-1", request_hash="h2"))


async def test_a_second_effect_of_one_command_is_rolled_back(app: Database, guild: GuildId) -> None:
    command = note(guild, command_id="key-1")

    async def handle(version_before: int) -> None:
        async with app.transaction(guild) as tx:
            await append(tx, guild, "inc_1", version_before)
            await inbox.record(tx, command, "done")

    await handle(0)
    with pytest.raises(AlreadyHandled):
        await handle(1)

    assert await events_of(app, guild, "inc_1") == [1]


async def test_of_many_simultaneous_repeats_exactly_one_takes_effect(
    app: Database, guild: GuildId
) -> None:
    command = note(guild, command_id="key-1")

    async def handle(number: int) -> None:
        async with app.transaction(guild) as tx:
            await append(tx, guild, f"inc_{number}")
            await inbox.record(tx, command, "done")

    results = await asyncio.gather(*(handle(n) for n in range(8)), return_exceptions=True)

    assert [type(result) for result in results].count(AlreadyHandled) == 7
    assert len(await of_correlation(app, guild, "cor_1", 100)) == 1


async def test_a_killed_connection_is_unavailable_and_then_heals(
    postgres: PreparedDatabase, single: Database, guild: GuildId
) -> None:
    async def be_killed_half_way() -> None:
        async with single.transaction(guild) as tx:
            await append(tx, guild, "inc_1")
            await kill_backends(postgres, "guild_app")
            await append(tx, guild, "inc_1", 1)

    with pytest.raises(DependencyUnavailable):
        await be_killed_half_way()
    async with single.transaction(guild) as tx:
        await append(tx, guild, "inc_2")

    assert await events_of(single, guild, "inc_1") == []
    assert await events_of(single, guild, "inc_2") == [1]


async def test_connections_killed_while_idle_are_replaced_unnoticed(
    postgres: PreparedDatabase, app: Database, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")
    await kill_backends(postgres, "guild_app")
    await asyncio.sleep(0.05)  # until the closed sockets are noticed

    assert await events_of(app, guild, "inc_1") == [1]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DependencyUnavailable):
        async with opened("postgresql://guild_app:x@127.0.0.1:9/guild"):
            pass


async def test_an_argument_that_does_not_fit_is_a_bug_and_not_an_absent_server(
    app: Database, guild: GuildId
) -> None:
    with pytest.raises(asyncpg.DataError):
        async with app.transaction(guild) as tx:
            await tx.fetchval("SELECT $1::int", "not a number")


async def test_a_statement_that_waits_too_long_for_a_lock_is_unavailable(
    postgres: PreparedDatabase, guild: GuildId
) -> None:
    impatient = SETTINGS.model_copy(update={"lock_timeout_s": 0.1})

    async def wait_for_each_other(database: Database) -> None:
        async with database.transaction(guild) as holder:
            await holder.execute("UPDATE inbox SET reply = '1'")
            async with database.transaction(guild) as waiter:
                await waiter.execute("UPDATE inbox SET reply = '2'")

    async with opened(postgres.app_url, impatient) as database:
        async with database.transaction(guild) as tx:
            await inbox.record(tx, note(guild, command_id="key-1"), "held")

        with pytest.raises(DependencyUnavailable):
            await wait_for_each_other(database)


async def test_cancelling_at_any_moment_leaves_no_dirty_connection(
    single: Database, guild: GuildId
) -> None:
    rolls = Random(20)  # noqa: S311  # the same run each time

    async def work() -> None:
        async with single.transaction(guild) as tx:
            await tx.execute("SELECT pg_sleep(0.001)")
            await tx.execute(
                "INSERT INTO inbox (guild_id, command_id) VALUES ($1, 'half') "
                "ON CONFLICT DO NOTHING",
                guild,
            )
            await tx.execute("SELECT pg_sleep(0.001)")
            raise ZeroDivisionError  # never commits

    for number in range(120):
        task = asyncio.create_task(work())
        if number % 2:  # within BEGIN, which is over in a moment
            for _ in range(rolls.randrange(8)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(rolls.random() * 0.006)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with single.across_guilds() as tx:
            assert await tx.fetchval("SELECT NULLIF(current_setting('guild.id', true), '')") is None
            assert await tx.fetchval("SELECT pg_current_xact_id_if_assigned() IS NULL")

    assert await inbox_size(single, guild) == 0
