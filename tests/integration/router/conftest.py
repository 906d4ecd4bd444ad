from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from actors.events import DeliverEvent, Priority
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId
from actors.storage import inbox, outbox
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import happened, new_guild, note, opened

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
