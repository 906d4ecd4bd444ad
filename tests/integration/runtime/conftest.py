"""The runtime on a real Ray, with short periods, and no database unless a test brings one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import ray

from actors.runtime.pools import Pools
from actors.runtime.supervising import Status
from actors.runtime.supervisor import start_supervisor, stop_pools
from actors.settings import GuildSettings, RuntimeSettings
from tests.fixtures.echo_member import ECHO_CLASSES
from tests.fixtures.ray_cluster import ray_cluster

__all__ = ["ray_cluster"]

_ENVIRONMENT = {
    "GUILD_RUNTIME__HEALTH_PERIOD_S": "0.3",
    "GUILD_RUNTIME__HEALTH_TIMEOUT_S": "1.0",
    "GUILD_RUNTIME__DRAIN_TIMEOUT_S": "10",
    "GUILD_RUNTIME__GROW_AFTER_S": "1",
    "GUILD_RUNTIME__SHRINK_AFTER_S": "2",
    "GUILD_RUNTIME__FAILOVER_BUDGET_S": "60",
    "GUILD_RUNTIME__DEFAULT_TIMEOUT_S": "90",
    "RAY_kill_worker_timeout_milliseconds": "500",
}


@pytest.fixture(scope="session")
def guild_settings() -> Iterator[GuildSettings]:
    """The settings of this process and, since it starts Ray, of every worker."""
    saved = dict(os.environ)
    os.environ.update(_ENVIRONMENT)
    yield GuildSettings(runtime=RuntimeSettings(failover_budget_s=60, default_timeout_s=90))
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture(scope="session")
def cluster(guild_settings: GuildSettings, ray_cluster: str) -> GuildSettings:
    """A Ray whose workers have our settings."""
    assert ray_cluster == guild_settings.ray_namespace
    return guild_settings


@pytest.fixture
async def supervisor(cluster: GuildSettings) -> AsyncIterator[Any]:
    """A supervisor with one echo pool; all of it is gone afterwards."""
    handle = start_supervisor(cluster, ECHO_CLASSES)
    yield handle
    await stop_pools(cluster)


@pytest.fixture
async def pools(cluster: GuildSettings) -> AsyncIterator[Pools]:
    """This process's view of the pools."""
    found = Pools(cluster)
    yield found
    await found.close()


async def until(
    supervisor: Any, condition: Callable[[Status], bool], timeout_s: float = 110
) -> Status:
    """The supervisor's status once it meets the condition."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                status: Status = await supervisor.status.remote()
            except ray.exceptions.RayActorError:  # being started again
                status = Status(0, {}, {}, {}, ())
            if condition(status):
                return status
            await asyncio.sleep(0.1)
