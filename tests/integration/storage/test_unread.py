"""What a reader that is behind is told before it gets there."""

import asyncpg
import pytest

from actors.events import KnowledgeUpdated
from actors.storage import log, outbox, unread
from actors.storage.frontier import Frontier
from actors.storage.log import BEGINNING, LogReader
from actors.storage.unread import TooMany
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import append, new_guild, note, opened

pytestmark = pytest.mark.integration

_LOOKED_AT = """
SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint
FROM pg_stat_xact_all_tables WHERE relname LIKE 'events%'
"""

_TYPE = "sage.incident.acknowledged"


async def test_what_was_read_behind_a_hole_is_not_looked_at_again(
    fresh_database: PreparedDatabase,
) -> None:
    guild, other = await new_guild(fresh_database), await new_guild(fresh_database)
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as across:
        reader = LogReader(across)
        async with app.transaction(guild) as slow:
            await append(slow, guild, "inc_slow", count=2)
            async with app.transaction(guild) as fast:
                await append(fast, guild, "inc_fast", count=5)
            [read] = await reader.advance([Frontier.at(BEGINNING)], 100)
            while_open = await reader.mentions(read.frontier, [_TYPE], 3)
        async with app.transaction(other) as late:
            await append(late, other, "inc_late")

        mentioned = await reader.mentions(read.frontier, [_TYPE], 4)
        ahead = await reader.ahead(guild, read.frontier, 3)
        nothing = await reader.mentions(read.frontier, ["sage.task.deleted"], 3)
        with pytest.raises(TooMany):
            await reader.mentions(read.frontier, [_TYPE], 3)

    assert while_open == nothing == []
    assert [one.aggregate_id for one in mentioned] == ["inc_slow", "inc_slow", "inc_late"]
    assert [event.aggregate_id for event in ahead.events] == ["inc_slow", "inc_slow"]
    assert (ahead.full, ahead.frontier.holes) == (False, ())
    assert all(ahead.frontier.covers(one.position) for one in mentioned)


async def test_a_change_is_mentioned_where_it_closes_what_was_open(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    kind = KnowledgeUpdated.type
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as across:
        reader = LogReader(across)
        async with app.transaction(guild) as tx:
            for level in ("public", "protected", "private", "restricted"):
                await outbox.append(
                    tx,
                    cause=note(guild),
                    aggregate_id=f"know_{level}",
                    version_before=0,
                    payloads=[knowledge(level)],
                )

        closed = await reader.mentions(Frontier.at(BEGINNING), [], 9, [kind])
        every = await reader.mentions(Frontier.at(BEGINNING), [kind], 9)

    assert [one.aggregate_id for one in closed] == ["know_private", "know_restricted"]
    assert len(every) == 4


def knowledge(access_level: str) -> KnowledgeUpdated:
    """Something learned, of this level."""
    return KnowledgeUpdated(
        entity_id="know_1",
        title="t",
        content="c",
        summary="",
        status="active",
        category_id="general",
        access_level=access_level,
    )


async def test_a_guild_is_read_ahead_page_by_page_and_nothing_twice(
    fresh_database: PreparedDatabase,
) -> None:
    guild, other = await new_guild(fresh_database), await new_guild(fresh_database)
    async with opened(fresh_database.app_url) as app, opened(fresh_database.log_url) as across:
        reader = LogReader(across)
        for number in range(5):
            for one in (guild, other):
                async with app.transaction(one) as tx:
                    await append(tx, one, f"inc_{number}")

        pages = [await reader.ahead(guild, Frontier.at(BEGINNING), 2)]
        while pages[-1].full:
            pages.append(await reader.ahead(guild, pages[-1].frontier, 2))
        after = await reader.ahead(guild, pages[-1].frontier, 2)

    seen = [event.aggregate_id for page in pages for event in page.events]
    assert seen == [f"inc_{number}" for number in range(5)]
    assert {event.guild_id for page in pages for event in page.events} == {guild}
    assert after.events == []


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_what_every_reader_asks_of_a_caught_up_place_looks_at_none_of_the_log(
    fresh_database: PreparedDatabase, plan: str
) -> None:
    guild = await new_guild(fresh_database)
    async with opened(fresh_database.app_url) as app:
        for number in range(100):
            async with app.transaction(guild) as tx:
                await append(tx, guild, f"inc_{number}", count=40)
    admin = await asyncpg.connect(fresh_database.admin_url)
    await admin.execute("ANALYZE events")
    end = await admin.fetchval("SELECT max(xid::text::bigint) FROM events")
    await admin.close()
    place = [str(end), 1_000_000]
    holes = [str(end + 1), str(end + 2)], [0, 3]
    types = ["sage.task.deleted"], ["sage.knowledge.updated"], ["public"]
    connection = await asyncpg.connect(fresh_database.log_url)
    await connection.execute(f"SET plan_cache_mode = {plan}")

    looked_at = {}
    for name, statement, arguments in (
        ("a page", log._READ_ABOVE, ["1", 0, 70]),
        ("mentions", unread._OF_TYPES, [*place, types[0], 100, *holes, *types[1:]]),
        ("all", log._READ_BEHIND_AT_ONCE, [*place, 100, *holes]),
        ("guild", log._READ_OF_GUILD_AT_ONCE, [*place, 100, *holes, guild]),
    ):
        async with connection.transaction():
            before = await connection.fetchval(_LOOKED_AT)
            await connection.fetch(statement, *arguments)
            looked_at[name] = await connection.fetchval(_LOOKED_AT) - before
    await connection.close()

    assert looked_at == {"a page": 70, "mentions": 0, "all": 0, "guild": 0}
