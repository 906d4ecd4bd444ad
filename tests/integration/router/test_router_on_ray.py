"""The router as an actor: found by name, killed, started again by Ray, and nothing missing.

One event kills whoever handles it: it ends in the dead letters, and the others do not notice.
"""

from collections import defaultdict

import pytest

from tests.fixtures.ray_plays import report_of
from tests.fixtures.services import RunningValkey
from tests.integration.router.conftest import Ground

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def test_routers_and_a_handler_are_killed_and_every_event_arrives_once_in_order(
    ground: Ground, valkey: RunningValkey
) -> None:
    seen = await report_of(
        "tests.fixtures.router_on_ray",
        ground.guild,
        DATABASE_URL=ground.prepared.app_url,
        GUILD_LOG_DATABASE_URL=ground.prepared.log_url,
        REDIS_URL=valkey.url,
        GUILD_ROUTER__MAX_ATTEMPTS="3",  # one with the deadly, and one to spare on a busy machine
        GUILD_RUNTIME__FAILOVER_BUDGET_S="25",  # a lone member starts anew: no attempt is spent
    )

    versions = defaultdict(list)
    for aggregate, version in seen["noted"]:
        versions[aggregate].append(version)
    assert dict(versions) == {f"task_{n}": list(range(1, 11)) for n in range(6)}
    reason = "dependency_unavailable: a process of rag was lost while it handled this"
    assert seen["dead"] == [["deadly", 3, reason]]
    assert seen["epochs"] == sorted(set(seen["epochs"]))
    assert seen["one_router"]
    assert seen["nudges"] > 0
    assert seen["streamed"] > 0
