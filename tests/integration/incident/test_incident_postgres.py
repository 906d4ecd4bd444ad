"""The Incident sage's store on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors import metrics
from actors.errors import VersionConflict
from actors.incident import postgres
from actors.incident.messages import AlertsAccepted, AlertStatus, ListAlerts, Status
from actors.incident.postgres import PostgresIncidentStore
from actors.incident.sage import IncidentSage
from actors.runtime.local import LocalPool
from actors.settings import DatabaseSettings, IncidentSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from tests.fixtures.incident import (
    GUILD,
    NOON,
    OTHER_GUILD,
    FoundEvidence,
    a_notification,
    an_alert,
    context,
)
from tests.fixtures.incident_contract import IncidentStoreContract, an_incident_in, listing, receive
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


async def _database(prepared: PreparedDatabase, connections: int) -> Database:
    return await Database.open(prepared.app_url, DatabaseSettings(), connections=connections)


@pytest.fixture
async def prepared(fresh_database: PreparedDatabase) -> PreparedDatabase:
    owner = await asyncpg.connect(fresh_database.owner_url)
    try:
        await owner.executemany(
            "INSERT INTO guilds (guild_id, name) VALUES ($1, $2)",
            [(GUILD, "ours"), (OTHER_GUILD, "theirs")],
        )
    finally:
        await owner.close()
    return fresh_database


@pytest.fixture
async def database(prepared: PreparedDatabase) -> AsyncIterator[Database]:
    database = await _database(prepared, connections=8)
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> PostgresIncidentStore:
    return PostgresIncidentStore(database)


class TestPostgresIncidentStore(IncidentStoreContract):
    pass


async def test_members_that_receive_one_group_at_once_make_one_incident(
    prepared: PreparedDatabase,
) -> None:
    databases = [await _database(prepared, connections=1) for _ in range(8)]
    members = [
        LocalPool(
            IncidentSage(
                PostgresIncidentStore(database), FoundEvidence(), IncidentSettings()
            ).handlers(),
            Inbox(database),
        )
        for database in databases
    ]

    replies = await asyncio.gather(
        *(member.ask(a_notification(an_alert("f1"), an_alert("f2"))) for member in members)
    )

    assert len({reply.incidents for reply in replies}) == 1
    assert sorted(reply.accepted for reply in replies) == [0] * 7 + [2]
    for database in databases:
        await database.close()


async def test_row_level_security_hides_every_table_of_the_sage(
    store: PostgresIncidentStore, database: Database
) -> None:
    await receive(store, a_notification(an_alert()))
    await an_incident_in(store)

    async with database.read(GUILD) as tx:
        ours = [
            await tx.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
            for table in ("incidents", "alerts", "incident_versions")
        ]
    async with database.read(OTHER_GUILD) as tx:
        theirs = [
            await tx.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
            for table in ("incidents", "alerts", "incident_versions")
        ]

    assert (ours, theirs) == ([2, 1, 2], [0, 0, 0])


async def test_a_full_notification_is_one_transaction(store: PostgresIncidentStore) -> None:
    alerts = [an_alert(f"f{number:05}", instance=f"node-{number}") for number in range(5_000)]
    ended = [
        an_alert(f"f{number:05}", AlertStatus.RESOLVED, instance=f"node-{number}")
        for number in range(5_000)
    ]
    before = committed()

    (incident_id,) = (await receive(store, a_notification(*alerts))).incidents
    await receive(store, a_notification(*alerts))
    await receive(store, a_notification(*ended))
    transactions = committed() - before

    incident = await store.get(GUILD, incident_id)
    assert (incident.status, incident.alert_count, incident.firing_count) == (
        Status.RESOLVED,
        5_000,
        0,
    )
    assert incident.version == 3
    assert transactions == 3


def committed() -> float:
    name, labels = "elders_guild_transactions_total", {"result": "committed"}
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


async def test_lists_read_their_index_behind_row_level_security(database: Database) -> None:
    async with database.read(GUILD) as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        await tx.execute("SET LOCAL enable_sort = off")
        plan = await tx.fetch(
            f"EXPLAIN {postgres.PAGE}", GUILD, None, None, None, NOON, "inc_x", 20
        )

    assert any("incidents_latest" in row[0] for row in plan)


async def test_the_sage_lists_alerts_page_by_page(database: Database) -> None:
    store = PostgresIncidentStore(database)
    sage = IncidentSage(store, FoundEvidence(), IncidentSettings())
    pool = LocalPool(sage.handlers(), Inbox(database))
    (incident_id,) = (
        await pool.ask(a_notification(*(an_alert(f"f{number}") for number in range(3))))
    ).incidents

    first = await pool.ask(ListAlerts(context=context(), incident_id=incident_id, limit=2))
    rest = await pool.ask(
        ListAlerts(context=context(), incident_id=incident_id, limit=2, cursor=first.next_cursor)
    )

    names = [alert.fingerprint for alert in (*first.items, *rest.items)]
    assert (names, rest.next_cursor) == (["f0", "f1", "f2"], None)


async def test_two_groups_that_speak_of_one_new_alert_do_not_both_open_an_incident(
    store: PostgresIncidentStore,
) -> None:
    async def receive_with_retry(group_key: str) -> AlertsAccepted:
        while True:
            try:
                return await receive(store, a_notification(an_alert(), group_key=group_key))
            except VersionConflict:
                continue

    replies = await asyncio.gather(*(receive_with_retry(f"group {n}") for n in range(4)))

    assert len({reply.incidents for reply in replies}) == 1
    assert len(await store.page(listing(), None)) == 1
