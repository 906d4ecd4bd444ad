"""What guilds declared, as the router reads it. Needs the role ``guild_log``."""

from dataclasses import dataclass
from typing import Any

import orjson

from actors.events import ReplayCompleted
from actors.runtime.message import GuildId, Position
from actors.storage import system_events
from actors.storage.database import Database
from actors.storage.leaders import Lease, hold
from actors.storage.system_events import SystemEvent

_DECLARED = """
SELECT guild_id, name, subscription_id, generation, filter, sink, delivery,
       origin_xid::text AS xid, origin_seq AS seq, version
FROM subscriptions WHERE state = 'active' ORDER BY subscription_id LIMIT $1
"""
_RUNNING = """
SELECT guild_id, replay_id, subscription, from_xid::text AS xid, from_seq AS seq,
       to_xid::text AS end_xid, to_seq AS end_seq, speed
FROM replays WHERE state = 'running' ORDER BY replay_id LIMIT $1
"""
_DISABLE = """
UPDATE subscriptions SET state = 'disabled', reason = $2, version = version + 1, updated_at = now()
WHERE subscription_id = $1 AND state = 'active'
"""
_COMPLETE = """
UPDATE replays SET state = 'completed', delivered = delivered + $2, finished_at = now(),
                   version = version + 1
WHERE replay_id = $1 AND state = 'running'
RETURNING guild_id, subscription, delivered, correlation_id
"""
_RAISE = "UPDATE subscription_revision SET revision = revision + 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One active subscription. ``filter``, ``sink`` and ``delivery`` are JSON as it is kept."""

    guild_id: GuildId
    name: str
    subscription_id: str
    generation: int
    filter: dict[str, Any]
    sink: str
    delivery: str
    origin: Position
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningReplay:
    """One replay to be delivered; ``subscription`` is the name within the guild."""

    guild_id: GuildId
    replay_id: str
    subscription: str
    begin: Position
    end: Position
    speed: float


class Declarations:
    """Reads what is declared, and writes what only the router can know."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revision(self) -> int:
        """Rises with every change, in the transaction of the change."""
        async with self._database.across_guilds() as tx:
            revision: int = await tx.fetchval("SELECT revision FROM subscription_revision")
        return revision

    async def load(self, limit: int) -> tuple[list[Declaration], list[RunningReplay]]:
        """All active subscriptions and running replays, at most ``limit`` of each."""
        async with self._database.snapshot_across_guilds() as tx:
            declared = await tx.fetch(_DECLARED, limit)
            running = await tx.fetch(_RUNNING, limit)
        epoch = self._database.epoch
        return [
            Declaration(
                guild_id=GuildId(row["guild_id"]),
                name=row["name"],
                subscription_id=row["subscription_id"],
                generation=row["generation"],
                filter=orjson.loads(row["filter"]),
                sink=row["sink"],
                delivery=row["delivery"],
                origin=Position(int(row["xid"]), row["seq"], epoch),
                version=row["version"],
            )
            for row in declared
        ], [
            RunningReplay(
                guild_id=GuildId(row["guild_id"]),
                replay_id=row["replay_id"],
                subscription=row["subscription"],
                begin=Position(int(row["xid"]), row["seq"], epoch),
                end=Position(int(row["end_xid"]), row["end_seq"], epoch),
                speed=row["speed"],
            )
            for row in running
        ]

    async def disable(self, lease: Lease, subscription_id: str, reason: str) -> None:
        """Nothing is delivered until somebody resumes it.

        Raises:
            LeadershipLost: the lease is over; nothing was changed.
        """
        async with self._database.across_guilds() as tx:
            await hold(tx, lease)
            await tx.execute(_DISABLE, subscription_id, reason)
            await tx.execute(_RAISE)

    async def complete(self, lease: Lease, replay_id: str, delivered: int) -> None:
        """The replay is at its end, and the log says so.

        Raises:
            LeadershipLost: the lease is over; nothing was changed.
        """
        async with self._database.across_guilds() as tx:
            await hold(tx, lease)
            row = await tx.fetchrow(_COMPLETE, replay_id, delivered)
            if row is None:
                return  # it was cancelled meanwhile
            await tx.execute(_RAISE)
            happened = SystemEvent(
                guild_id=GuildId(row["guild_id"]),
                aggregate_id=replay_id,
                payload=ReplayCompleted(
                    replay_id=replay_id,
                    subscription=row["subscription"],
                    delivered=row["delivered"],
                ),
                correlation_id=row["correlation_id"],
            )
            await system_events.append(tx, [happened])
