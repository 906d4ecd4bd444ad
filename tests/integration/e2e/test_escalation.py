"""An incident that nobody acknowledges is escalated by the running guild itself."""

import uuid

import pytest

from actors.settings import DatabaseSettings
from actors.storage.database import Database
from cluster.state import Stack
from tests.fixtures.stack import as_admin

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def bring_forward(stack: Stack, correlation_id: str) -> None:
    """Makes the incident's timer due now, in whichever guild it is."""
    log = await Database.open(stack.log_database_url, DatabaseSettings())
    try:
        async with log.across_guilds() as tx:
            moved = await tx.execute(
                "UPDATE timers SET due_at = now() WHERE correlation_id = $1 AND state = 'pending'",
                correlation_id,
            )
    finally:
        await log.close()
    assert moved == "UPDATE 1"


async def test_the_timer_fires_and_the_incident_rises_a_level(stack: Stack) -> None:
    async with as_admin(stack) as person:
        reported = await person.post(
            "/incidents",
            {"title": "Nobody looks at this", "severity": "critical"},
            key=uuid.uuid4().hex,
        )
        incident = f"/incidents/{reported.body['incident_id']}"
        await bring_forward(stack, reported.body["correlation_id"])

        risen = await person.until(
            incident, lambda seen: seen["escalation_level"] == 1, timeout_s=30
        )
        timeline = await person.get(f"{incident}/timeline")
        taken = await person.post(f"{incident}:acknowledge", key=uuid.uuid4().hex)

    kinds = [entry["kind"] for entry in timeline.body["entries"]]
    assert reported.body["escalates_at"] < risen.body["escalates_at"]
    assert "sage.incident.escalated" in kinds
    assert taken.body["escalates_at"] is None
