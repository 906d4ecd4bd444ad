"""Our own log by the actor path: a driver asks the bus pool, through mailbox and Ray.

Import it only when the environment is as Ray's workers shall find it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from actors import clock
from actors.bus.messages import (
    DeliveryPolicy,
    NewEvent,
    PauseSubscription,
    PoolSink,
    PublishEvents,
    PutSubscription,
    ResumeSubscription,
)
from actors.router.actor import start_routers
from actors.runtime import logs
from actors.runtime.message import Caller, Context, GuildId, Permission
from actors.runtime.ping import Ping
from actors.runtime.pool import Asker
from actors.runtime.pools import Pools
from actors.runtime.supervisor import start_supervisor
from actors.settings import GuildSettings
from benchmarks.event_logs import sink
from benchmarks.event_logs.drafts import HANDLED, PUBLISHED, SOURCE, Draft
from cluster.admin import create_guild
from cluster.bootstrap import DatabaseUrls
from cluster.pools import POOLS

_SINK = "task"  # a subscription may name the guild's own pools only: this one is ours for the run
_SUBSCRIPTION = "bench"
_READY_S = 90.0


class GuildLog:
    """A `Log` that is the guild's.

    Args:
        bus: the pool that publishes.
        guild_id: who publishes.
        event_type: of all its events.
    """

    def __init__(self, bus: Asker, guild_id: GuildId, event_type: str) -> None:
        self._bus = bus
        self._guild_id = guild_id
        self._type = event_type

    async def write(self, drafts: Sequence[Draft]) -> None:
        """One command."""
        await self._bus.ask(
            PublishEvents(
                context=context_of(self._guild_id),
                command_id=clock.new_id("cmd"),
                events=tuple(
                    NewEvent(
                        source=SOURCE,
                        source_id=draft.source_id,
                        type=self._type,
                        data=draft.data,
                        subject=draft.key,
                    )
                    for draft in drafts
                ),
            )
        )


class Guild:
    """A guild whose bus, router and sink run.

    Attributes:
        guild_id: its id.
        published: a log whose events nobody hears.
        heard: one whose events the sink handles.
    """

    def __init__(self, bus: Asker, sink_pool: Asker, guild_id: GuildId) -> None:
        self.guild_id = guild_id
        self.published = GuildLog(bus, guild_id, PUBLISHED)
        self.heard = GuildLog(bus, guild_id, HANDLED)
        self._bus = bus
        self._sink = sink_pool

    async def subscribe(self, *, batch: int, in_flight: int) -> None:
        """The sink hears what is published from now on."""
        await self._bus.ask(
            PutSubscription(
                **self._said(),
                name=_SUBSCRIPTION,
                filter_spec={"types": [HANDLED]},
                sink=PoolSink(pool=_SINK, batch=batch),
                delivery=DeliveryPolicy(max_in_flight=in_flight),
            )
        )

    async def pause(self) -> None:
        """Nothing is delivered until `resume`."""
        await self._bus.ask(PauseSubscription(**self._said(), name=_SUBSCRIPTION))

    async def resume(self) -> None:
        """What gathered is delivered."""
        await self._bus.ask(ResumeSubscription(**self._said(), name=_SUBSCRIPTION))

    async def handled(self) -> tuple[sink.Handled, ...]:
        """What took effect since the last call."""
        return await self._sink.ask(sink.TakeHandled(context=context_of(self.guild_id)))

    async def ready(self) -> None:
        """Returns when bus and sink answer.

        Raises:
            TimeoutError: they do not.
        """
        async with asyncio.timeout(_READY_S):
            waiting = [self._bus, self._sink]
            while waiting:
                waiting = [pool for pool in waiting if not await self._answers(pool)]

    async def _answers(self, pool: Asker) -> bool:
        outcome = await pool.ask_outcome(Ping(context=context_of(self.guild_id)))
        return outcome.error is None

    def _said(self) -> dict[str, Any]:
        return {"context": context_of(self.guild_id), "command_id": clock.new_id("cmd")}


def context_of(guild_id: GuildId) -> Context:
    """Of an administrator's message."""
    caller = Caller(
        guild_id=guild_id, principal_id="bench", permissions=frozenset({Permission.ADMIN})
    )
    return Context(caller=caller, correlation_id=clock.new_id("req"))


@asynccontextmanager
async def running_guild(urls: DatabaseUrls) -> AsyncIterator[Guild]:
    """Bus, router and sink on the Ray that this process is connected to."""
    logs.configure("WARNING")
    guild_id = await create_guild(urls.owner, "bench")
    owner = await asyncpg.connect(urls.owner)
    try:
        await owner.execute(sink.TABLE)
    finally:
        await owner.close()
    config = GuildSettings()
    # The gateway admits nobody without the identity pool's list of revoked tokens.
    kept = {name: POOLS[name] for name in ("bus", "identity")}
    start_supervisor(config, {**kept, _SINK: sink.PATH})
    start_routers(config)
    pools = Pools(config)
    try:
        guild = Guild(pools.pool("bus"), pools.pool(_SINK), guild_id)
        await guild.ready()
        yield guild
    finally:
        await pools.close()
