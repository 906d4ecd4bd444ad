"""A process that joins a running stack as a client of its pools."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import ray

from actors.runtime.message import Caller, Context, GuildId, Permission
from actors.runtime.pool import Asker
from actors.runtime.pools import Pools
from actors.settings import GuildSettings, settings
from benchmarks.faults.plan import Workload


class Joined(NamedTuple):
    """What such a process has.

    Attributes:
        stop: set when the process was asked to end.
    """

    bus: Asker
    context: Context
    settings: GuildSettings
    stop: asyncio.Event


@asynccontextmanager
async def joined(workload: Workload) -> AsyncIterator[Joined]:
    """Joins Ray by the addresses in the environment; SIGTERM asks for the end."""
    config = settings()
    ray.init(address=config.ray_address, namespace=config.ray_namespace, log_to_driver=False)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pools = Pools(config)
    caller = Caller(
        guild_id=GuildId(workload.guild_id),
        principal_id="faults",
        permissions=frozenset(Permission),
    )
    try:
        yield Joined(
            pools.pool("bus"), Context(caller=caller, correlation_id=workload.run), config, stop
        )
    finally:
        await pools.close()
        ray.shutdown()


def say_ready() -> None:
    """Tells whoever started this process that it works."""
    print(f"ready {os.getpid()}", flush=True)
