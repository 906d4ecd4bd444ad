import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from actors.events import DeliverEvent, Priority
from actors.router.postgres import PostgresRouterStore
from actors.router.redrive import redrive_requested
from actors.router.relay import Chore, Relay
from actors.router.routing import Subscription
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId
from actors.runtime.pool import Asker
from actors.settings import RouterSettings
from actors.storage import inbox, outbox
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.leaders import Leaders
from tests.fixtures.router import to_pools
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import happened, new_guild, note, opened

ALL = Subscription("task.all", "task", ("sage.*", "custom.*"))
NUMBERS = RouterSettings(
    poll_interval_s=0.02, backoff_s=(0.01,), cursor_save_s=0.02, window=100, read_batch=50
)

_EFFECTS = """
CREATE TABLE effects (
    number bigint GENERATED ALWAYS AS IDENTITY,
    guild_id text NOT NULL,
    subscription text NOT NULL,
    event_id text NOT NULL,
    aggregate_id text NOT NULL,
    version integer NOT NULL
);
CALL guild_protect('effects');
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """A database with a guild, and a sage that does nothing but note what reached it."""

    prepared: PreparedDatabase
    app: Database
    across: Database
    guild: GuildId

    async def publish(
        self, aggregate_id: str, version_before: int, priority: Priority = Priority.NORMAL
    ) -> None:
        async with self.app.transaction(self.guild) as tx:
            await outbox.append(
                tx,
                cause=note(self.guild),
                aggregate_id=aggregate_id,
                version_before=version_before,
                payloads=[happened(aggregate_id)],
                priority=priority,
            )

    async def take_effect(self, message: DeliverEvent) -> None:
        """Effect and inbox row in one transaction, as every sage does it."""
        event = message.event
        async with self.app.transaction(event.guild_id) as tx:
            await tx.execute(
                "INSERT INTO effects (guild_id, subscription, event_id, aggregate_id, version)"
                " VALUES ($1, $2, $3, $4, $5)",
                event.guild_id,
                message.subscription,
                event.event_id,
                event.aggregate_id,
                event.aggregate_version,
            )
            await inbox.record(tx, message, None)

    def pool(self) -> LocalPool:
        return LocalPool({DeliverEvent: self.take_effect}, Inbox(self.app))

    async def effects(self, subscription: str) -> list[tuple[str, int]]:
        """Aggregate and version of each effect, in the order in which they happened."""
        async with self.app.read(self.guild) as tx:
            rows = await tx.fetch(
                "SELECT aggregate_id, version FROM effects WHERE subscription = $1 ORDER BY number",
                subscription,
            )
        return [(row["aggregate_id"], row["version"]) for row in rows]


@pytest.fixture
async def ground(fresh_database: PreparedDatabase) -> AsyncIterator[Ground]:
    owner = await asyncpg.connect(fresh_database.owner_url)
    await owner.execute(_EFFECTS)
    await owner.close()
    guild = await new_guild(fresh_database)
    async with (
        opened(fresh_database.app_url, connections=8) as app,
        opened(fresh_database.log_url, connections=2) as across,
    ):
        yield Ground(fresh_database, app, across, guild)


async def new_relay(ground: Ground, pool: Asker, numbers: RouterSettings = NUMBERS) -> Relay:
    """As the router actor makes it, when it has become the leader."""
    lease = await Leaders(ground.across).acquire("router", "test")
    assert lease is not None
    store, sinks = PostgresRouterStore(ground.across, lease), to_pools(lambda _: pool)

    async def redrive() -> None:
        await redrive_requested(store, sinks, numbers, relay.serving)

    chores = (Chore("redrive", 0.02, redrive),)
    relay = Relay(store, sinks, numbers, subscriptions=(ALL,), chores=chores, renew_s=0.05)
    return relay


@asynccontextmanager
async def running(
    ground: Ground, pool: Asker, numbers: RouterSettings = NUMBERS
) -> AsyncIterator[Relay]:
    """A relay at work; ended as a crash would end it."""
    relay = await new_relay(ground, pool, numbers)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        died = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=not died)


async def until_drained(relay: Relay) -> None:
    """Everything was delivered or given up."""
    async with asyncio.timeout(120):
        while True:
            states = await relay.states()
            if states and not any(state.lag for state in states):
                return
            await asyncio.sleep(0.02)
