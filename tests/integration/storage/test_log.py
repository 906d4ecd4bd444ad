import asyncio
from random import Random

import asyncpg
import pytest

from actors.errors import DependencyUnavailable, VersionConflict
from actors.runtime.message import GuildId, Position
from actors.storage import log
from actors.storage.database import Database, Transaction
from actors.storage.frontier import Frontier
from actors.storage.log import BEGINNING, LogReader, of_correlation
from cluster.services import PostgresServer
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import append, new_guild, opened, run_as_owner

pytestmark = pytest.mark.integration

_ASSESSING = '{"incident_id": "inc_1"}'
_BARE_CURSOR = "SELECT event_id, seq FROM events WHERE seq > $1 ORDER BY seq LIMIT 500"


async def test_interleaved_slow_and_fast_transactions_are_never_skipped(
    fresh_database: PreparedDatabase,
) -> None:
    """Also shows that the test can fail: a cursor of bare sequence numbers loses events."""
    guild = await new_guild(fresh_database)
    done = asyncio.Event()
    async with (
        opened(fresh_database.app_url, connections=16) as app,
        opened(fresh_database.log_url, connections=3) as across,
    ):
        below_horizon = asyncio.create_task(_follow(LogReader(across), done))
        all_visible = asyncio.create_task(_follow_frontier(LogReader(across), done))
        bare = asyncio.create_task(_follow_bare(across, done))
        await _write_interleaved(app, guild, writers=12, transactions=834)
        done.set()
        seen, seen_at_once, seen_bare = await asyncio.gather(below_horizon, all_visible, bare)
        async with across.across_guilds() as tx:
            written = {row["event_id"] for row in await tx.fetch("SELECT event_id FROM events")}

    assert len(written) >= 10_000
    assert len(seen) == len(seen_at_once) == len(written)
    assert set(seen) == set(seen_at_once) == written
    assert len(set(seen_bare)) < len(written)


async def _write_interleaved(
    app: Database, guild: GuildId, *, writers: int, transactions: int
) -> None:
    async def write(writer: int) -> None:
        rolls = Random(writer)  # noqa: S311  # the same run each time
        for number in range(transactions):
            aggregate = f"inc_{writer}_{number}"
            async with app.transaction(guild) as tx:
                await append(tx, guild, aggregate, count=rolls.choice((1, 1, 3)))
                if rolls.random() < 0.1:  # has its numbers, commits long after its neighbours
                    await asyncio.sleep(rolls.random() * 0.05)

    await asyncio.gather(*(write(writer) for writer in range(writers)))


async def _follow(reader: LogReader, done: asyncio.Event) -> list[str]:
    seen: list[str] = []
    position = BEGINNING
    while True:
        last_round = done.is_set()
        page = await reader.scan(position, 500)
        assert all(event.position > position for event in page.events)
        seen += [event.event_id for event in page.events]
        position = page.end
        if not page.events:
            if last_round:
                return seen
            await asyncio.sleep(0.002)


async def _follow_frontier(reader: LogReader, done: asyncio.Event) -> list[str]:
    seen: list[str] = []
    frontier = Frontier.at(BEGINNING)
    while True:
        last_round = done.is_set()
        (page,) = await reader.advance([frontier], 500)
        seen += [event.event_id for event in page.events]
        frontier = page.frontier
        if not page.events:
            if last_round:
                return seen
            await asyncio.sleep(0.002)


async def _follow_bare(across: Database, done: asyncio.Event) -> list[str]:
    seen: list[str] = []
    last = 0
    while True:
        last_round = done.is_set()
        async with across.across_guilds() as tx:
            rows = await tx.fetch(_BARE_CURSOR, last)
        seen += [row["event_id"] for row in rows]
        if rows:
            last = rows[-1]["seq"]
        elif last_round:
            return seen
        await asyncio.sleep(0.002)


async def test_an_open_transaction_holds_back_what_came_after_it_and_no_longer(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as across,
    ):
        reader = LogReader(across)
        async with app.transaction(guild) as slow:
            await append(slow, guild, "inc_slow")
            async with app.transaction(guild) as fast:
                await append(fast, guild, "inc_fast")
            while_open = await reader.read(BEGINNING, 10)
        afterwards = await reader.read(BEGINNING, 10)

    assert while_open == []
    assert [event.aggregate_id for event in afterwards] == ["inc_slow", "inc_fast"]


async def test_versions_of_contested_aggregates_are_read_in_order(
    fresh_database: PreparedDatabase,
) -> None:
    """Transactions get their ids early, so they would commit out of order were they let."""
    guild = await new_guild(fresh_database)
    done = asyncio.Event()
    async with (
        opened(fresh_database.app_url, connections=8) as app,
        opened(fresh_database.log_url) as across,
    ):
        reading = asyncio.create_task(_versions(LogReader(across), done))
        await asyncio.gather(*(_contend(app, guild, writer, 100) for writer in range(8)))
        done.set()
        versions = await reading

    assert sum(map(len, versions.values())) == 800
    assert all(seen == list(range(1, len(seen) + 1)) for seen in versions.values())


async def _contend(app: Database, guild: GuildId, writer: int, times: int) -> None:
    rolls = Random(writer)  # noqa: S311  # the same run each time
    for _ in range(times):
        aggregate = f"inc_{rolls.randrange(4)}"
        while True:
            try:
                async with app.transaction(guild) as tx:
                    await tx.fetchval("SELECT pg_current_xact_id()::text")
                    await asyncio.sleep(rolls.random() * 0.003)
                    head = await tx.fetchval(
                        "SELECT version FROM aggregate_heads WHERE aggregate_id = $1", aggregate
                    )
                    await append(tx, guild, aggregate, head or 0)
            except VersionConflict:
                continue
            break


async def _versions(reader: LogReader, done: asyncio.Event) -> dict[str, list[int]]:
    versions: dict[str, list[int]] = {}
    frontier = Frontier.at(BEGINNING)
    while True:
        last_round = done.is_set()
        (page,) = await reader.advance([frontier], 50)
        for event in page.events:
            versions.setdefault(event.aggregate_id, []).append(event.aggregate_version)
        frontier = page.frontier
        if last_round and not page.full:
            return versions
        await asyncio.sleep(0.001)


async def test_an_open_transaction_of_another_database_holds_back_the_cursor_only(
    postgres_server: PostgresServer, fresh_database: PreparedDatabase
) -> None:
    guild = await new_guild(fresh_database)
    stranger = await asyncpg.connect(postgres_server.admin_url)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as across,
    ):
        reader = LogReader(across)
        async with stranger.transaction():
            await stranger.fetchval("SELECT pg_current_xact_id()::text")
            async with app.transaction(guild) as tx:
                await append(tx, guild, "inc_1")
            (page,) = await reader.advance([Frontier.at(BEGINNING)], 10)
            below_horizon = await reader.read(BEGINNING, 10)
        (after,) = await reader.advance([page.frontier], 10)
    await stranger.close()

    (event,) = page.events
    assert below_horizon == []
    assert page.frontier.covers(event.position)
    assert page.frontier.settled < event.position
    assert after.events == []
    assert after.frontier.settled > event.position


async def test_one_place_is_read_as_it_is_together_with_others(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as across,
    ):
        reader = LogReader(across)
        nowhere = Frontier.at(BEGINNING)
        (empty,) = await reader.advance([nowhere], 10)
        async with app.transaction(guild) as slow:
            await append(slow, guild, "inc_slow", count=3)
            async with app.transaction(guild) as fast:
                await append(fast, guild, "inc_fast", count=2)
            (holed,) = await reader.advance([nowhere], 10)
        places = [nowhere, holed.frontier]
        together = await reader.advance(places, 4)
        each = [(await reader.advance([place], 4))[0] for place in places]

    assert (empty.events, empty.full) == ([], False)
    assert [event.aggregate_id for event in holed.events] == ["inc_fast"] * 2
    assert holed.frontier.holes
    assert [event.aggregate_id for event in each[1].events] == ["inc_slow"] * 3
    assert each == together


async def test_every_event_below_the_end_can_be_read(app: Database, across: Database) -> None:
    reader = LogReader(across)
    before = await reader.end()

    after = await reader.end()

    assert BEGINNING < before <= after


async def test_an_event_comes_back_as_it_was_written(
    app: Database, across: Database, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1", count=2)
    (event, second) = await of_correlation(app, guild, "cor_1", 10)

    async with across.across_guilds() as tx:
        row = await tx.fetchrow("SELECT * FROM events WHERE event_id = $1", event.event_id)

    assert row is not None
    assert log.from_row(row, across.epoch) == event
    assert (event.guild_id, event.principal_id) == (guild, "usr_1")
    assert event.causation_id is not None
    assert event.causation_id.startswith("cmd_")
    assert (event.aggregate_version, second.aggregate_version) == (1, 2)
    assert event.type == "sage.incident.acknowledged"


async def test_unknown_types_are_passed_over_and_damaged_ones_are_told(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as across,
    ):
        async with app.transaction(guild) as tx:
            for number in range(5):
                await _write_raw(tx, guild, number, "sage.unheard.of", "{}")
            await _write_raw(tx, guild, 5, "sage.incident.closed", '{"incident_id": 7}')
            await append(tx, guild, "inc_1")
        reader = LogReader(across)
        pages = [await reader.scan(BEGINNING, 3)]
        pages.append(await reader.scan(pages[0].end, 100))
        read = await reader.read(BEGINNING, 2)
        at_end = await reader.read(pages[1].end, 2)

    assert (pages[0].events, pages[0].full, pages[1].full) == ([], True, False)
    assert [one.type for one in pages[1].unreadable] == ["sage.incident.closed"]
    assert pages[1].unreadable[0].reason == "unreadable: incident_id: string_type"
    assert [event.aggregate_id for event in pages[1].events] == ["inc_1"]
    assert ([event.aggregate_id for event in read], at_end) == (["inc_1"], [])


async def test_a_subscription_has_reached_what_the_slowest_of_its_routers_has(
    fresh_database: PreparedDatabase,
) -> None:
    """The parts of another spread say nothing."""
    cursor = "INSERT INTO cursors (subscription, xid, seq) VALUES ($1, $2::text::xid8, $3)"
    seen: list[Position | None] = []
    async with opened(fresh_database.log_url) as across:
        reader = LogReader(across)
        for name, xid, parts in (
            ("some", "900", 1),
            ("some#0/2", "1000", 2),
            ("some#1/2", "95", 2),
        ):
            await run_as_owner(fresh_database, cursor, name, xid, 7)
            await run_as_owner(fresh_database, "UPDATE log_state SET router_partitions = $1", parts)
            seen.append(await reader.reached("some"))
        unheard = await reader.reached("other")

    assert seen == [Position(900, 7, across.epoch), None, Position(95, 7, across.epoch)]
    assert unheard is None


async def test_the_log_is_ordered_by_the_number_of_the_transaction_not_by_its_text(
    fresh_database: PreparedDatabase,
) -> None:
    """As text, 100 would come before 9."""
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as across,
    ):
        async with app.transaction(guild) as tx:
            await _write_raw(tx, guild, 1, "sage.incident.assessing", _ASSESSING, xid=9)
            await _write_raw(tx, guild, 2, "sage.incident.assessing", _ASSESSING, xid=10)
            await _write_raw(tx, guild, 3, "sage.incident.assessing", _ASSESSING, xid=100)
        first = await LogReader(across).scan(BEGINNING, 1)
        rest = await LogReader(across).scan(first.end, 10)
        timeline = await of_correlation(app, guild, "c", 10)

    assert [event.position.xid for event in first.events + rest.events] == [9, 10, 100]
    assert timeline == first.events + rest.events


async def _write_raw(
    tx: Transaction, guild: GuildId, number: int, name: str, data: str, *, xid: int | None = None
) -> None:
    await tx.execute(
        "INSERT INTO events (guild_id, event_id, source, type, aggregate_id, aggregate_version,"
        " priority, occurred_at, correlation_id, principal_id, data, xid)"
        " VALUES ($1, $2, 's', $3, $2, 1, 'low', now(), 'c', 'p', $4,"
        " COALESCE($5::text::xid8, pg_current_xact_id()))",
        guild,
        f"evt_{guild}_{number}",
        name,
        data,
        None if xid is None else str(xid),
    )


@pytest.mark.parametrize("query", [log._READ, log._READ_ABOVE_AT_ONCE], ids=["scan", "page"])
async def test_the_poll_of_the_log_uses_its_index(
    fresh_database: PreparedDatabase, query: str
) -> None:
    guild = await new_guild(fresh_database)
    async with opened(fresh_database.app_url) as app, app.transaction(guild) as tx:
        for number in range(4):
            await append(tx, guild, f"inc_{number}", count=1000)
    admin = await asyncpg.connect(fresh_database.admin_url)
    await admin.execute("ANALYZE events")
    await admin.close()

    connection = await asyncpg.connect(fresh_database.log_url)
    rows = await connection.fetch(f"EXPLAIN {query}", "1", 0, 100)
    await connection.close()

    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan using events_default_xid_seq_idx" in plan
    assert "Sort" not in plan.partition("Limit")[2]  # a page is sorted, never the log


async def test_reading_while_the_server_is_away_is_unavailable_and_then_goes_on(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as across,
    ):
        async with app.transaction(guild) as tx:
            await append(tx, guild, "inc_1")
        await across.close()

        with pytest.raises(DependencyUnavailable):
            await LogReader(across).read(BEGINNING, 1)
