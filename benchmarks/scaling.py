"""How much faster a larger pool is, for a sage that waits for something else.

Each message waits 20 ms and a member has one at a time: batches of 1, one call in flight. The pool
is resized by its supervisor to 1, 2, 4 and 8 members; one process asks, always more than they can
take. Linear is the rate of one member times their number.
"""

import asyncio
import os
import time

from actors.runtime.message import Caller, Context, GuildId
from actors.runtime.pools import Pools
from actors.runtime.supervision import Phase
from actors.settings import GuildSettings
from benchmarks.frame import (
    Contender,
    Goal,
    Measurement,
    Options,
    Report,
    interleave,
    main,
    percentile,
)
from benchmarks.ray_stack import plain_ray
from tests.fixtures.echo_member import ECHO_CLASSES, Echo

SIZES = (1, 2, 4, 8)
_WAIT_S = 0.02
_ASKERS = 16  # a member
_PATIENCE_S = 90.0
_SETTINGS = {
    "GUILD_RUNTIME__MAX_BATCH": "1",
    "GUILD_RUNTIME__CALLS_IN_FLIGHT": "1",
    "GUILD_RUNTIME__DIRECT_CALLS_IN_FLIGHT": "1",
    "GUILD_RUNTIME__LINGER_MS": "1000",
    "GUILD_RUNTIME__FILL_BEFORE_SPREADING": "1",
    "GUILD_RUNTIME__HEALTH_PERIOD_S": "0.5",
}


async def run(options: Options) -> Report:
    """Starts a Ray of its own, measures, stops it."""
    os.environ.update(_SETTINGS)
    with plain_ray():
        from actors.runtime.supervisor import start_supervisor, stop_pools  # they import Ray

        config = GuildSettings()
        supervisor = start_supervisor(config, ECHO_CLASSES)
        pools = Pools(config)
        seconds = 2.0 if options.quick else 6.0

        def contender(size: int) -> Contender:
            async def turn() -> Measurement:
                await supervisor.resize.remote("echo", size, size)
                async with asyncio.timeout(_PATIENCE_S):
                    while not await _has(size):  # noqa: ASYNC110  # it is asked, it tells nobody
                        await asyncio.sleep(0.2)
                return await _measure(pools, size, seconds)

            async def _has(count: int) -> bool:
                status = await supervisor.status.remote()
                ready = sum(phase is Phase.READY for phase in status.members.values())
                known = len(pools.peers("echo").members())
                return ready == len(status.members) == known == count

            return turn

        contenders = {f"size_{size}": contender(size) for size in SIZES}
        try:
            results = await interleave(contenders, rounds=1 if options.quick else 3)
        finally:
            await pools.close()
            await stop_pools(config)

    one = results["size_1"]["msg_s"].median

    def of_linear(size: int) -> float:
        return results[f"size_{size}"]["msg_s"].median / (one * size)

    return Report(
        results=results,
        goals=tuple(
            Goal(name=f"of_linear_at_{size}", measured=of_linear(size), at_least=0.85)
            for size in SIZES[1:]
        ),
        notes=(f"a wait of {_WAIT_S * 1000:g} ms a message, one at a time a member; one caller",),
        settings={"seconds": seconds, "askers_a_member": _ASKERS, **_SETTINGS},
    )


async def _measure(pools: Pools, size: int, seconds: float) -> Measurement:
    pool = pools.pool("echo")
    context = Context(
        caller=Caller(guild_id=GuildId("bench"), principal_id="usr_1"), correlation_id="cor_1"
    )
    message = Echo(context=context, wait_s=_WAIT_S)
    waits: list[float] = []
    begun = time.perf_counter() + 1.0  # after a second of warming up
    ends = begun + seconds

    async def ask_on() -> None:
        while (asked := time.perf_counter()) < ends:
            await pool.ask(message)
            answered = time.perf_counter()
            if begun <= answered < ends:
                waits.append((answered - asked) * 1000)

    await asyncio.gather(*(ask_on() for _ in range(_ASKERS * size)))
    return {
        "msg_s": len(waits) / seconds,
        "msg_s_a_member": len(waits) / seconds / size,
        "ms_p50": percentile(waits, 0.5),
        "ms_p95": percentile(waits, 0.95),
    }


if __name__ == "__main__":
    raise SystemExit(main("scaling", __doc__, run))
