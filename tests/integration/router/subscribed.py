"""A guild that subscribes: the bus that it asks, and the router that delivers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from pydantic import SecretStr

from actors.bus.actor import BusMember
from actors.bus.messages import (
    DeadLetter,
    DeliveryPolicy,
    GetSubscription,
    ListDeadLetters,
    PublishEvents,
    PutSubscription,
    Sink,
    SubscriptionInfo,
)
from actors.router.postgres import PostgresRouterStore
from actors.router.relay import Relay
from actors.router.sinks.factory import Sinks
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Caller, Context, GuildId, Permission
from actors.settings import (
    GuildSettings,
    OutboundSettings,
    RouterSettings,
    WebhookSettings,
)
from actors.storage.leaders import Leaders
from tests.fixtures.bus_builders import key, new_event
from tests.fixtures.one_database import OneDatabase
from tests.integration.router.conftest import Ground

NUMBERS = RouterSettings(
    poll_interval_s=0.02,
    cursor_save_s=0.02,
    refresh_s=0.02,
    idle_cursor_save_s=0.02,
    rest_s=0.05,
    rest_max_s=0.1,
    stream_timeout_s=1.0,
    stream_batch=20,
)
QUICK = DeliveryPolicy(max_attempts=3, backoff_s=(0.01,))


def settings_for(ground: Ground, redis_url: str = "") -> GuildSettings:
    """Receivers on loopback are called, over plain HTTP and on any port."""
    return GuildSettings(
        database_url=SecretStr(ground.prepared.app_url),
        log_database_url=SecretStr(ground.prepared.log_url),
        redis_url=SecretStr(redis_url),
        secret_key=SecretStr("s" * 32),
        router=NUMBERS,
        outbound=OutboundSettings(
            allow_http=True, ports=(), allowed_networks=(ip_network("127.0.0.0/8"),), unread_s=0.05
        ),
        webhooks=WebhookSettings(origin="guild.example.com", agree_timeout_s=4.0, timeout_s=5.0),
    )


class _Host(OneDatabase):
    """Has the ground's database and no pools."""

    def __init__(self, ground: Ground, settings: GuildSettings) -> None:
        super().__init__(ground.app)
        self.settings = settings
        self._closers = []

    def nudge_router(self) -> None:
        return None

    def pool(self, name: str) -> LocalPool:
        return LocalPool({})


@dataclass
class SubscribedGuild:
    """What one of the guild asks the bus, and the router that serves it."""

    bus: LocalPool
    guild: GuildId
    relay: Relay

    @property
    def context(self) -> Context:
        """An administrator asks."""
        caller = Caller(
            guild_id=self.guild, principal_id="usr_1", permissions=frozenset(Permission)
        )
        return Context(caller=caller, correlation_id="cor_1")

    async def subscribe(
        self, sink: Sink, name: str = "orders", delivery: DeliveryPolicy = QUICK
    ) -> SubscriptionInfo:
        """To everything custom, from now on."""
        return await self.bus.ask(
            PutSubscription(
                context=self.context,
                command_id=key(),
                name=name,
                filter_spec={"types": ["custom.*"]},
                sink=sink,
                delivery=delivery,
            )
        )

    async def publish(self, *ids: str, source: str = "/shop", **changes: Any) -> None:
        """Events in this order; those of one source are one aggregate."""
        events = tuple(new_event(one, source=source, **changes) for one in ids)
        await self.bus.ask(PublishEvents(context=self.context, command_id=key(), events=events))

    async def state(self, name: str = "orders") -> SubscriptionInfo:
        """How the subscription stands."""
        return await self.bus.ask(GetSubscription(context=self.context, name=name))

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """All that wait."""
        return (await self.bus.ask(ListDeadLetters(context=self.context))).dead_letters

    async def until_caught_up(self, name: str = "orders") -> None:
        """Everything is delivered, or in the dead letters."""
        async with asyncio.timeout(120):
            while (await self.state(name)).progress.lag:  # noqa: ASYNC110  # the database's matter
                await asyncio.sleep(0.02)

    async def until_served(self, wanted: SubscriptionInfo) -> None:
        """The router delivers as this version of the declaration says."""
        one = wanted.subscription
        name = f"{one.subscription_id}@{one.generation}"
        async with asyncio.timeout(120):
            while True:
                served = self.relay.serving().subscription_of(name)
                if served is not None and served.version >= one.version:
                    return
                await asyncio.sleep(0.02)

    async def until_disabled(self, name: str = "orders") -> SubscriptionInfo:
        """The router has given it up."""
        async with asyncio.timeout(120):
            while True:
                info = await self.state(name)
                if info.subscription.state == "disabled":
                    return info
                await asyncio.sleep(0.02)


@asynccontextmanager
async def subscribed(ground: Ground, settings: GuildSettings) -> AsyncIterator[SubscribedGuild]:
    """A guild whose router runs."""
    host = _Host(ground, settings)
    member = BusMember(MemberIdentity(pool="bus", generation=1, number=0))
    pool = LocalPool(await member.open(host))
    try:
        async with routing(ground, settings) as relay:
            yield SubscribedGuild(pool, ground.guild, relay)
    finally:
        await host.close()


@asynccontextmanager
async def routing(ground: Ground, settings: GuildSettings) -> AsyncIterator[Relay]:
    """A router with its real sinks; it just is no more afterwards."""
    lease = await Leaders(ground.across).acquire("router", "test")
    assert lease is not None
    sinks = Sinks(lambda _: LocalPool({}), ground.across, settings)
    relay = Relay(
        PostgresRouterStore(ground.across, lease),
        sinks,
        settings.router,
        subscriptions=(),
        renew_s=0.05,
    )
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        died = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=not died)
        await sinks.close()
