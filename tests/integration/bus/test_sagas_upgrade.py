"""A guild that has run with six subscriptions goes on with one saga."""

import asyncpg
import pytest

from actors.storage.migrate import shipped
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import new_guild

pytestmark = pytest.mark.integration

OLD = (
    *("incident.dossier", "incident.review", "task.runbook", "task.actions"),
    *("task.incident_resolved", "knowledge.review"),
)


async def test_the_saga_begins_where_the_last_of_them_stood_with_their_dead_letters(
    fresh_database: PreparedDatabase,
) -> None:
    guild = await new_guild(fresh_database)
    (upgrade,) = [one for one in shipped() if one.name == "008_incident_loop.sql"]
    router = await asyncpg.connect(fresh_database.log_url)
    for seq, name in enumerate((*OLD, "rag.projection"), start=7):
        await router.execute("INSERT INTO cursors VALUES ($1, '900', $2)", name, seq)
    for name in ("task.incident_resolved", "incident.review"):
        await router.execute(
            "INSERT INTO dead_letters (subscription, event_id, guild_id, attempts, reason, event)"
            " VALUES ($1, 'evt_1', $2, 5, 'no', '{}')",
            name,
            guild,
        )
    owner = await asyncpg.connect(fresh_database.owner_url)

    await owner.execute(upgrade.sql)

    cursors = await router.fetch("SELECT subscription, seq FROM cursors ORDER BY seq")
    letters = await router.fetch("SELECT subscription, event_id FROM dead_letters")
    await owner.close()
    await router.close()
    assert [tuple(row) for row in cursors] == [("saga.incident_loop", 7), ("rag.projection", 13)]
    assert [tuple(row) for row in letters] == [("saga.incident_loop", "evt_1")]
