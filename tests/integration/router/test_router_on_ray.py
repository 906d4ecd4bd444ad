"""The router as an actor: found by name, killed, started again by Ray, and nothing missing.

One event kills whoever handles it: it ends in the dead letters, and the others do not notice.
"""

import asyncio
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.fixtures.services import RunningValkey
from tests.integration.router.conftest import Ground

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def test_routers_and_a_handler_are_killed_and_every_event_arrives_once_in_order(
    ground: Ground, valkey: RunningValkey
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fixtures.router_on_ray",
        ground.guild,
        cwd=Path(__file__).parents[3],
        env={
            **os.environ,
            "DATABASE_URL": ground.prepared.app_url,
            "GUILD_LOG_DATABASE_URL": ground.prepared.log_url,
            "REDIS_URL": valkey.url,
            "GUILD_ROUTER__MAX_ATTEMPTS": "2",
            "GUILD_RUNTIME__LONE_SUSPECT_S": "1.5",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "RAY_raylet_start_wait_time_s": "120",
        },
        stdout=asyncio.subprocess.PIPE,
    )

    output, _ = await process.communicate()

    assert process.returncode == 0
    # Ray prints there too, about the worker that was killed.
    (report,) = [line for line in output.splitlines() if line.startswith(b"{")]
    seen = json.loads(report)
    versions = defaultdict(list)
    for aggregate, version in seen["noted"]:
        versions[aggregate].append(version)
    assert dict(versions) == {f"task_{n}": list(range(1, 11)) for n in range(6)}
    reason = "dependency_unavailable: a process of rag was lost while it handled this"
    assert seen["dead"] == [["deadly", 2, reason]]
    assert seen["epochs"] == sorted(set(seen["epochs"]))
    assert seen["one_router"]
    assert seen["nudges"] > 0
    assert seen["streamed"] > 0
