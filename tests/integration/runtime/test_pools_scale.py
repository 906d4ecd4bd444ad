"""Pools size themselves under load, and nothing is lost, done twice or out of order meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.message import Caller, Context, GuildId
from actors.runtime.pools import Pools
from actors.runtime.supervising import Status
from actors.runtime.supervision import Phase
from tests.fixtures.keyed_load import KeyedLoad, effects
from tests.integration.runtime.conftest import until

pytestmark = pytest.mark.integration

CONTEXT = Context(
    caller=Caller(guild_id=GuildId("guild_1"), principal_id="usr_1"), correlation_id="cor_1"
)


def working(status: Status) -> int:
    return sum(phase is Phase.READY for phase in status.members.values())


async def test_a_pool_grows_with_its_load_and_shrinks_when_that_is_gone(
    supervisor: Any, pools: Pools, tmp_path: Path
) -> None:
    pool = pools.pool("echo")
    crowd = KeyedLoad(pool, CONTEXT, tmp_path, wait_s=0.2)
    trickle = KeyedLoad(pool, CONTEXT, tmp_path, wait_s=0.03)
    await until(supervisor, lambda status: working(status) == 1)

    loads = [
        asyncio.create_task(crowd.run(name="crowd", keys=200, at_once=2)),
        asyncio.create_task(trickle.trickle(name="trickle", keys=20)),
    ]
    await until(supervisor, lambda status: working(status) == 4)
    await crowd.until_answered_by(4)
    crowd.stop()
    status = await until(supervisor, lambda status: len(status.members) == 1)
    trickle.stop()
    await asyncio.gather(*loads)

    assert effects(tmp_path) == crowd.acknowledged | trickle.acknowledged
    assert set(crowd.members) == {f"echo/1/{number}" for number in range(4)}
    assert (status.pools["echo"].size, working(status)) == (1, 1)
