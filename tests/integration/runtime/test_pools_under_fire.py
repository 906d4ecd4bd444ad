"""Members, the supervisor and the pool's size change under load; nothing is lost or done twice."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.errors import NotFound
from actors.metrics import Sample
from actors.runtime.message import Caller, Context, GuildId
from actors.runtime.pool import Asker
from actors.runtime.pools import Pools
from actors.runtime.supervising import Status
from actors.runtime.supervision import Phase
from tests.fixtures.echo_member import AppendLine, Echo, Refuse, WhoAreYou
from tests.integration.runtime.conftest import until

pytestmark = pytest.mark.integration

CALLER = Caller(guild_id=GuildId("guild_1"), principal_id="usr_1")
CONTEXT = Context(caller=CALLER, correlation_id="cor_1")


def ready(status: Status, *, count: int, generation: int = 1) -> bool:
    """Whether the echo pool has exactly so many members, all ready, all of one generation."""
    return len(status.members) == count and all(
        phase is Phase.READY and name.startswith(f"echo/{generation}/")
        for name, phase in status.members.items()
    )


async def who(pool: Asker, group: str | None = None) -> tuple[str, int]:
    return await pool.ask(WhoAreYou(context=CONTEXT, group=group))


async def until_spread(pool: Asker, count: int) -> None:
    """Waits until many keys are at exactly so many members.

    The supervisor is ahead of those who ask: they look at its list now and then.
    """
    async with asyncio.timeout(20):
        while len(await everybody(pool)) != count:  # noqa: ASYNC110  # told to nobody here
            await asyncio.sleep(0.1)


async def everybody(pool: Asker) -> set[tuple[str, int]]:
    """Members found by asking for many keys."""
    return set(await asyncio.gather(*(who(pool, group=str(key)) for key in range(30))))


async def test_a_message_reaches_a_member_and_its_reply_comes_back(
    supervisor: Any, pools: Pools
) -> None:
    pool = pools.pool("echo")

    replies = await asyncio.gather(
        *(pool.ask(Echo(context=CONTEXT, text=str(number))) for number in range(500))
    )

    assert replies == [str(number) for number in range(500)]
    with pytest.raises(NotFound):
        await pool.ask(Refuse(context=CONTEXT))


async def test_no_fast_message_waits_for_a_slow_one(supervisor: Any, pools: Pools) -> None:
    pool = pools.pool("echo")
    await pool.ask(Echo(context=CONTEXT))
    slow = [
        asyncio.create_task(pool.ask(Echo(context=CONTEXT, text="slow", wait_s=10)))
        for _ in range(20)
    ]

    for _ in range(20):
        await pool.ask(Echo(context=CONTEXT, text="fast"), timeout_s=2)

    assert not any(one.done() for one in slow)
    assert set(await asyncio.gather(*slow)) == {"slow"}


async def test_what_a_killed_member_was_doing_is_done_once(
    supervisor: Any, pools: Pools, tmp_path: Path
) -> None:
    pool = pools.pool("echo")
    _, process = await who(pool)
    effects = tmp_path / "effects"
    queries = [
        asyncio.create_task(pool.ask(Echo(context=CONTEXT, text=str(number), wait_s=0.5)))
        for number in range(20)
    ]
    commands = [
        asyncio.create_task(
            pool.ask(
                AppendLine(
                    context=CONTEXT,
                    command_id=f"cmd_{number}",
                    path=str(effects),
                    line=str(number),
                    wait_s=0.01 * number,
                )
            )
        )
        for number in range(40)
    ]
    await asyncio.sleep(0.2)  # some commands are done, some are not

    os.kill(process, signal.SIGKILL)

    assert await asyncio.gather(*queries) == [str(number) for number in range(20)]
    assert await asyncio.gather(*commands) == [str(number) for number in range(40)]
    lines = effects.read_text().split()
    assert sorted(lines, key=int) == [str(number) for number in range(40)]


async def test_a_killed_supervisor_finds_its_members_again(supervisor: Any, pools: Pools) -> None:
    pool = pools.pool("echo")
    before = await who(pool)
    epoch = (await until(supervisor, lambda status: ready(status, count=1))).epoch

    ray.kill(supervisor, no_restart=False)
    meanwhile = await who(pool)
    await until(supervisor, lambda status: status.epoch > epoch and ready(status, count=1))

    assert before == meanwhile == await who(pool)


async def test_a_pool_grows_and_shrinks_under_load_and_loses_nothing(
    supervisor: Any, pools: Pools
) -> None:
    pool = pools.pool("echo")
    await pool.ask(Echo(context=CONTEXT))
    stop = asyncio.Event()
    answered = 0

    async def ask_on(number: int) -> None:
        nonlocal answered
        while not stop.is_set():
            text = f"{number} {answered}"
            group = str(number) if number % 2 else None
            message = Echo(context=CONTEXT, text=text, wait_s=0.02, group=group)
            assert await pool.ask(message) == text
            answered += 1

    load = [asyncio.create_task(ask_on(number)) for number in range(16)]
    await supervisor.resize.remote("echo", 3, 3)
    await until(supervisor, lambda status: ready(status, count=3))
    await until_spread(pool, 3)
    await supervisor.resize.remote("echo", 1, 1)
    await until(supervisor, lambda status: ready(status, count=1))
    stop.set()
    await asyncio.gather(*load)

    assert answered > 100
    await until_spread(pool, 1)


async def test_a_new_generation_takes_over_without_a_gap(supervisor: Any, pools: Pools) -> None:
    pool = pools.pool("echo")
    old = await who(pool)
    await until(supervisor, lambda status: ready(status, count=1))
    stop = asyncio.Event()

    async def ask_on() -> None:
        while not stop.is_set():
            await pool.ask(Echo(context=CONTEXT, wait_s=0.01))

    load = [asyncio.create_task(ask_on()) for _ in range(8)]
    await supervisor.roll.remote("echo", 2)
    await until(supervisor, lambda status: ready(status, count=1, generation=2))
    new = await who(pool)
    stop.set()
    await asyncio.gather(*load)

    assert old[0] == "echo/1/0"
    assert new[0] == "echo/2/0"


async def test_a_stopped_process_is_replaced(supervisor: Any, pools: Pools) -> None:
    pool = pools.pool("echo")
    _, process = await who(pool)

    os.kill(process, signal.SIGSTOP)
    name, another = await who(pool)

    assert name == "echo/1/0"
    assert another != process


async def test_the_metrics_of_all_processes_are_summed(supervisor: Any, pools: Pools) -> None:
    pool = pools.pool("echo")
    await asyncio.gather(*(pool.ask(Echo(context=CONTEXT)) for _ in range(50)))

    async with asyncio.timeout(60):  # each process tells of its own now and then
        while await handled(supervisor, "Echo") < 50:  # noqa: ASYNC110  # told to nobody
            await asyncio.sleep(0.1)


async def handled(supervisor: Any, message: str) -> float:
    """How many messages of a kind the echo pool has handled, as far as the supervisor knows."""
    samples: Sequence[Sample] = await supervisor.samples.remote()
    return sum(
        one.value
        for one in samples
        if one.name == "elders_guild_messages_total"
        and dict(one.labels).items() >= {"pool": "echo", "message": message}.items()
    )
