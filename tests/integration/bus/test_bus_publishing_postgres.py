"""Publishing on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import asyncpg
import pytest

from actors.bus.domain.publishing import Line
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.sage.publishing import PublishingSage
from actors.errors import ValidationError, VersionConflict
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Position
from actors.settings import BusSettings
from actors.storage.database import Database
from tests.fixtures.bus_builders import GUILD, new_event, publish
from tests.fixtures.bus_contract import PublishingStoreContract, ReadBack, lines
from tests.fixtures.storage import until_waiting

pytestmark = pytest.mark.integration

_KEPT = f"""
SELECT {", ".join(Line._fields)}, events.xid::text AS of_transaction, seq, aggregate_version
FROM events WHERE guild_id = $1 ORDER BY events.xid, seq
"""  # noqa: S608  # names of our own fields


@pytest.fixture
def store(database: Database) -> PostgresPublishingStore:
    return PostgresPublishingStore(database)


@pytest.fixture
def read_back(database: Database) -> ReadBack:
    async def read(guild_id: GuildId) -> Sequence[tuple[Line, Position, int]]:
        async with database.read(guild_id) as tx:
            rows = await tx.fetch(_KEPT, guild_id)
        return [
            (
                Line(*row[: len(Line._fields)]),
                Position(int(row["of_transaction"]), row["seq"], database.epoch),
                row["aggregate_version"],
            )
            for row in rows
        ]

    return read


class TestPostgresPublishingStore(PublishingStoreContract):
    """The contract, with row-level security under it."""


async def test_the_server_refuses_what_it_cannot_store(store: PostgresPublishingStore) -> None:
    (line,) = lines(new_event())

    with pytest.raises(ValidationError):
        await store.append(GUILD, [line._replace(data='"\\u0000"')])


async def test_only_the_culprit_of_a_group_fails(
    store: PostgresPublishingStore, read_back: ReadBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = LocalPool(PublishingSage(store, BusSettings(groups_in_flight=1)).handlers())
    monkeypatch.setattr("actors.bus.domain.publishing._ESCAPED_NUL", _Never())
    requests = [publish(new_event("good")), publish(new_event("bad", data='"\\u0000"'))]

    answers = await asyncio.gather(
        *(pool.ask(request) for request in requests), return_exceptions=True
    )

    assert isinstance(answers[1], ValidationError)
    assert [line.source_id for line, _, _ in await read_back(GUILD)] == ["good"]


async def test_publishers_of_few_aggregates_at_once_lose_nothing_and_keep_order(
    database: Database, store: PostgresPublishingStore, read_back: ReadBack
) -> None:
    pools = [LocalPool(PublishingSage(store, BusSettings()).handlers()) for _ in range(2)]

    async def publisher(number: int) -> None:
        for step in range(10):
            events = [new_event(f"{number}/{step}/{one}", subject=f"s{one}") for one in range(3)]
            await pools[number % 2].ask(publish(*events, new_event(f"same/{step}")))

    await asyncio.gather(*(publisher(number) for number in range(8)))

    kept = await read_back(GUILD)
    assert len(kept) == 8 * 10 * 3 + 10
    for subject in ("s0", "s1", "s2", None):
        versions = [version for line, _, version in kept if line.subject == subject]
        assert versions == list(range(1, len(versions) + 1))
    assert all(one < other for (_, one, _), (_, other, _) in pairwise(kept))


async def test_a_group_that_was_overtaken_at_one_aggregate_writes_nothing(
    database: Database,
    store: PostgresPublishingStore,
    read_back: ReadBack,
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await store.append(GUILD, lines(new_event("first", subject="a")))
    both = lines(new_event("slow a", subject="a"), new_event("slow b", subject="b"))
    async with database.transaction(GUILD) as tx:
        await tx.execute("SELECT FROM aggregate_heads WHERE aggregate_id ~ 'a$' FOR UPDATE")
        slow = asyncio.create_task(store.append(GUILD, both))
        await until_waiting(owner)
        await store.append(GUILD, lines(new_event("fast b", subject="b")))

    with pytest.raises(VersionConflict):
        await slow

    assert {line.source_id for line, _, _ in await read_back(GUILD)} == {"first", "fast b"}
    again = await store.append(GUILD, both)
    assert [one.duplicate for one in again] == [False, False]


async def test_who_publishes_while_a_partition_is_made_is_not_refused(
    store: PostgresPublishingStore,
    read_back: ReadBack,
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    pool = LocalPool(PublishingSage(store, BusSettings()).handlers())
    await pool.ask(publish(new_event("before")))
    async with owner.transaction():
        await owner.execute("SELECT log_partition_add(current_date - 1, current_date + 2)")
        publishing = asyncio.create_task(pool.ask(publish(new_event("meanwhile"))))
        await until_waiting(owner)

    (meanwhile,) = await publishing

    assert not meanwhile.duplicate
    assert {line.source_id for line, _, _ in await read_back(GUILD)} == {"before", "meanwhile"}


class _Never:
    def search(self, _: str) -> None:
        return None
