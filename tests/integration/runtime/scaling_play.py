"""`python -m tests.integration.runtime.scaling_play FOLDER`: load comes, nodes come; both go.

Runs as a driver of its own, for Ray knows one cluster a process. Prints one JSON object: what
happened, and after how many seconds since the load came or went.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from actors.runtime.message import Caller, Context, GuildId
from actors.runtime.pools import Pools
from actors.runtime.supervising import Status
from actors.runtime.supervision import Phase
from actors.runtime.supervisor import start_supervisor, stop_pools
from actors.settings import settings
from tests.fixtures.echo_member import ECHO_CLASSES
from tests.fixtures.keyed_load import KeyedLoad

_PATIENCE_S = 120.0
_CONTEXT = Context(
    caller=Caller(guild_id=GuildId("guild_1"), principal_id="usr_1"), correlation_id="cor_1"
)


@dataclass
class Seen:
    """What the cluster looks like."""

    supervisor: Any
    status: Status = field(default_factory=lambda: Status(0, {}, {}, {}, ()))
    nodes: int = 0
    beyond_head: int = 0

    async def look(self) -> None:
        """Asks supervisor and Ray once."""
        self.status = await self.supervisor.status.remote()
        roster = await self.supervisor.watch.remote(-1, -1)
        self.nodes = sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]
        head = ray.get_runtime_context().get_node_id()
        self.beyond_head = sum(node != head for node in roster.nodes)

    @property
    def ready(self) -> int:
        """Members that take messages."""
        return sum(phase is Phase.READY for phase in self.status.members.values())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Looks on until it is so."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                await self.look()
                if condition():
                    return
                await asyncio.sleep(0.2)


async def play(folder: Path) -> dict[str, Any]:
    """The whole play; the pool and its supervisor are gone afterwards."""
    guild = settings()
    pools = Pools(guild)
    seen = Seen(start_supervisor(guild, ECHO_CLASSES))
    crowd = KeyedLoad(pools.pool("echo"), _CONTEXT, folder, wait_s=0.2)
    trickle = KeyedLoad(pools.pool("echo"), _CONTEXT, folder, wait_s=0.05)
    seconds: dict[str, float] = {}
    try:
        await seen.until(lambda: seen.ready == 1)
        loads = [
            asyncio.create_task(crowd.run(name="crowd", keys=200, at_once=2)),
            asyncio.create_task(trickle.trickle(name="trickle", keys=20)),
        ]
        came = time.monotonic()

        async def note(what: str, since: float, condition: Callable[[], bool]) -> None:
            await seen.until(condition)
            seconds[what] = round(time.monotonic() - since, 1)

        await note("pool_wants_more", came, lambda: seen.status.pools["echo"].size > 1)
        await note("node_added", came, lambda: seen.nodes > 1)
        await note("member_on_it", came, lambda: seen.beyond_head > 0)
        await note("pool_at_its_largest", came, lambda: seen.ready == 4)
        most_nodes = seen.nodes
        await crowd.until_answered_by(4)
        crowd.stop()
        went = time.monotonic()
        await note("members_back_on_the_head", went, lambda: len(seen.status.members) == 1)
        beyond_head = seen.beyond_head
        await note("node_removed", went, lambda: seen.nodes == 1)
        trickle.stop()
        await asyncio.gather(*loads)
    finally:
        await pools.close()
        await stop_pools(guild)
    return {
        "seconds": seconds,
        "most_nodes": most_nodes,
        "beyond_head_at_the_end": beyond_head,
        "answered_by": dict(crowd.members),
        "acknowledged": crowd.acknowledged | trickle.acknowledged,
    }


def main(folder: str) -> int:
    """Joins the cluster of ``RAY_ADDRESS``."""
    ray.init(namespace=settings().ray_namespace, log_to_driver=False)
    print(json.dumps(asyncio.run(play(Path(folder)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
