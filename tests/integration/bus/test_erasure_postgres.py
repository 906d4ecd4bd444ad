"""Erasure on PostgreSQL, between processes."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import pytest

from actors.bus.domain.publishing import Line
from actors.bus.messages import Erasure, ListDeadLetters, RedriveDeadLetters
from actors.bus.postgres.erasure import PostgresErasureStore
from actors.bus.postgres.letters import PostgresDeadLetterStore
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.errors import DependencyUnavailable, ValidationError
from actors.settings import DatabaseSettings
from actors.storage import sealing
from actors.storage.database import Database
from actors.storage.log import BEGINNING, LogReader
from tests.fixtures.bus_builders import GUILD, context, key
from tests.fixtures.bus_contract import lines
from tests.fixtures.erasure_contract import PERSON, ErasureStoreContract, about, browsed, erase
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import new_vault, opened

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def log(database: Database) -> PostgresPublishingStore:
    return PostgresPublishingStore(database)


@pytest.fixture
def erasure(database: Database) -> PostgresErasureStore:
    return PostgresErasureStore(database)


@pytest.fixture
def reading(database: Database) -> PostgresReadingStore:
    return PostgresReadingStore(database)


class TestPostgresErasureStore(ErasureStoreContract):
    """The contract, with row-level security under it."""


async def test_neither_the_payload_nor_the_name_is_in_the_database(
    log: PostgresPublishingStore, owner: Connection
) -> None:
    await log.append(GUILD, lines(about()))

    row = await owner.fetchrow("SELECT events::text AS line, data FROM events")
    kept = await owner.fetchval("SELECT subject_keys::text FROM subject_keys")

    assert row is not None
    assert row["data"].startswith('"s1.')
    assert "secret" not in row["line"]
    assert PERSON not in row["line"] + kept


async def test_many_publishers_who_name_a_person_first_make_one_key(
    module_database: PreparedDatabase, owner: Connection, log: PostgresPublishingStore
) -> None:
    async def publish(number: int) -> None:
        async with opened(module_database.app_url, connections=1) as own:
            people = (number % 3, 5, 1)
            events = [about(f"person {one}", subject=f"{number}") for one in people]
            await PostgresPublishingStore(own).append(GUILD, lines(*events))

    await asyncio.gather(*(publish(number) for number in range(8)))

    async with opened(module_database.log_url) as across:
        events = await LogReader(across).read(BEGINNING, 100)
    assert len(events) == 24
    assert await owner.fetchval("SELECT count(*) FROM subject_keys") == 4
    assert await owner.fetchval("SELECT count(*) FROM digest_keys") == 1


async def test_an_erasure_and_a_publication_of_one_person_have_an_order(
    database: Database, erasure: PostgresErasureStore, reading: PostgresReadingStore
) -> None:
    await PostgresPublishingStore(database).append(GUILD, lines(about()))
    async with database.transaction(GUILD) as tx:
        await sealing.hold(tx, GUILD, [PERSON])
        erasing = asyncio.create_task(erasure.erase(erase()))
        await asyncio.sleep(0.2)
        waited = not erasing.done()
    await erasing

    assert waited
    with pytest.raises(ValidationError):
        await PostgresPublishingStore(database).append(GUILD, lines(about()))


async def test_erasures_that_race_are_one(
    erasure: PostgresErasureStore, reading: PostgresReadingStore
) -> None:
    done: Sequence[Erasure] = await asyncio.gather(*(erasure.erase(erase()) for _ in range(4)))

    assert len(set(done)) == 1
    assert len(await browsed(reading)) == 1


async def test_every_process_forgets_the_key_in_its_time(
    module_database: PreparedDatabase,
    log: PostgresPublishingStore,
    erasure: PostgresErasureStore,
) -> None:
    vault = new_vault(key_cache_s=5)
    clock = [100.0]
    vault.now = lambda: clock[0]
    await log.append(GUILD, lines(about()))
    async with opened(module_database.log_url, vault=vault) as elsewhere:
        reader = LogReader(elsewhere)
        (event,) = await reader.read(BEGINNING, 10)

        await erasure.erase(erase())
        clock[0] += 4.9
        within = await reader.erased([event])
        clock[0] += 0.1
        after = await reader.erased([event])
        left = await reader.read(BEGINNING, 10)

    assert not within
    assert after == {event.event_id}
    assert [one.type for one in left] == ["system.subject.erased"]


async def test_letters_of_an_erased_person_are_put_away_without_a_payload(
    database: Database,
    log: PostgresPublishingStore,
    erasure: PostgresErasureStore,
    owner: Connection,
) -> None:
    gone, other = await log.append(GUILD, lines(about(), about("another")))
    await _bury_all(owner)
    letters = PostgresDeadLetterStore(database)
    states = ("waiting", "requested", "discarded")
    query = ListDeadLetters(context=context(), states=states)
    before = {one.event_id: one for one in (await letters.page(query)).dead_letters}

    await erasure.erase(erase())

    after = {one.event_id: one for one in (await letters.page(query)).dead_letters}
    assert before[gone.event_id].event is not None
    assert after[other.event_id] == before[other.event_id]
    letter = after[gone.event_id]
    assert (letter.event, letter.state, letter.discarded_by) == (None, "discarded", "user_1")
    assert letter.event_type == "custom.order.placed"


async def test_a_letter_that_came_too_late_cannot_be_asked_for(
    database: Database,
    log: PostgresPublishingStore,
    erasure: PostgresErasureStore,
    owner: Connection,
) -> None:
    await log.append(GUILD, lines(about(), about(None)))
    await erasure.erase(erase())
    await _bury_all(owner)

    command = RedriveDeadLetters(context=context(), command_id=key(), subscription="late")
    number = await PostgresDeadLetterStore(database).redrive("late", (), 100, cause=command)

    assert number == 2  # the event beside it, and the one that tells of the erasure


async def test_what_names_nobody_is_published_without_asking_for_keys(
    module_database: PreparedDatabase, owner: Connection
) -> None:
    without_ring = await Database.open(module_database.app_url, DatabaseSettings())
    try:
        store = PostgresPublishingStore(without_ring)
        await store.append(GUILD, lines(about(None)))

        with pytest.raises(DependencyUnavailable, match="SECRET_KEY"):
            await store.append(GUILD, lines(about()))
        with pytest.raises(DependencyUnavailable, match="SECRET_KEY"):
            await PostgresErasureStore(without_ring).erase(erase())
    finally:
        await without_ring.close()

    assert await owner.fetchval("SELECT count(*) FROM events") == 1


async def test_without_the_key_of_before_nobody_is_published_for_or_erased_until_it_is_back(
    module_database: PreparedDatabase,
    log: PostgresPublishingStore,
    erasure: PostgresErasureStore,
    reading: PostgresReadingStore,
) -> None:
    await log.append(GUILD, lines(about()))

    other = new_vault("another secret key, which is long enough too")
    async with opened(module_database.app_url, vault=other) as elsewhere:
        with pytest.raises(DependencyUnavailable, match="SECRET_KEY"):
            await PostgresPublishingStore(elsewhere).append(GUILD, lines(about()))
        with pytest.raises(DependencyUnavailable, match="SECRET_KEY"):
            await PostgresErasureStore(elsewhere).erase(erase())

    assert len(await browsed(reading)) == 1
    await erasure.erase(erase())


async def test_a_large_group_of_many_people_is_written_whole(
    log: PostgresPublishingStore, reading: PostgresReadingStore, owner: Connection
) -> None:
    group: list[Line] = lines(*(about(f"person {number % 50}") for number in range(200)))

    await log.append(GUILD, group)

    assert await owner.fetchval("SELECT count(DISTINCT sealed_for) FROM events") == 50
    assert [one.event_id for one in await browsed(reading)][:100] == [
        line.event_id for line in group[:100]
    ]


async def _bury_all(owner: Connection) -> None:
    await owner.execute(
        "INSERT INTO dead_letters (subscription, event_id, guild_id, attempts, reason, dead_at,"
        " event) SELECT 'late', event_id, guild_id, 5, 'poison', clock_timestamp(),"
        " to_jsonb(events) FROM events"
    )
