"""Subscriptions in PostgreSQL. Every change raises the revision that the router watches."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import orjson

from actors import paging
from actors.audit import entry_by
from actors.bus.messages import (
    Origin,
    PauseSubscription,
    PutSubscription,
    ResumeSubscription,
    RotateSecret,
    SeekSubscription,
    Subscription,
    SubscriptionInfo,
    SubscriptionPage,
    stored_delivery,
    stored_sink,
)
from actors.bus.postgres import origins, progress
from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.errors import VersionConflict
from actors.runtime.message import Command, GuildId
from actors.storage import audit_log, inbox
from actors.storage.database import Database, Transaction

_COLUMNS = """
name, subscription_id, generation, filter, sink, delivery, state, reason, version, created_at,
created_by, updated_at
"""
_GET = f"SELECT {_COLUMNS} FROM subscriptions WHERE guild_id = $1 AND name = $2"  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM subscriptions WHERE guild_id = $1 AND name > $2 ORDER BY name LIMIT $3
"""  # noqa: S608  # constants only
_INSERT = """
INSERT INTO subscriptions (guild_id, name, subscription_id, generation, filter, sink, delivery,
                           state, reason, version, created_at, created_by, updated_at, meaning,
                           meaning_model, origin_xid, origin_seq)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::vector, $15,
        $16::text::xid8, $17)
ON CONFLICT DO NOTHING
"""
_UPDATE = """
UPDATE subscriptions
SET generation = $4, filter = $5, sink = $6, delivery = $7, state = $8, reason = $9, version = $10,
    updated_at = $11, meaning = $12::text::vector, meaning_model = $13,
    origin_xid = coalesce($14::text::xid8, origin_xid), origin_seq = coalesce($15, origin_seq)
WHERE guild_id = $1 AND name = $2 AND subscription_id = $3 AND version = $10 - 1
"""
_ACTIONS: Mapping[type[Command[Any]], str] = {
    PutSubscription: "subscription.put",
    PauseSubscription: "subscription.pause",
    ResumeSubscription: "subscription.resume",
    SeekSubscription: "subscription.seek",
    RotateSecret: "subscription.rotate-secret",
}
_RAISE = "UPDATE subscription_revision SET revision = revision + 1"


class PostgresSubscriptionStore:
    """The `SubscriptionStore` over a `Database` of the role ``guild_app``.

    Args:
        database: one guild a transaction.
        max_lag_counted: of a subscription; more is not counted.
        model: that meanings come from.
    """

    def __init__(
        self, database: Database, max_lag_counted: int, model: ModelIdentity = SHIPPED
    ) -> None:
        self._database = database
        self._max_lag = max_lag_counted
        self._model = model

    async def load(self, guild_id: GuildId, name: str) -> Subscription | None:
        """By primary key."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_GET, guild_id, name)
        return None if row is None else from_row(row)

    async def info(self, guild_id: GuildId, name: str) -> SubscriptionInfo | None:
        """By primary key, then its cursor and what lies behind it."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_GET, guild_id, name)
            if row is None:
                return None
            (info,) = await progress.informed(tx, guild_id, [from_row(row)], self._max_lag)
        return info

    async def page(self, guild_id: GuildId, limit: int, cursor: str | None) -> SubscriptionPage:
        """Keyset paging along the primary key."""
        after = "" if cursor is None else paging.decode(cursor, 1)[0]
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(_PAGE, guild_id, after, limit + 1)
            found = [from_row(row) for row in rows[:limit]]
            infos = await progress.informed(tx, guild_id, found, self._max_lag)
        more = len(rows) > limit
        return SubscriptionPage(
            subscriptions=tuple(infos), next_cursor=paging.encode(found[-1].name) if more else None
        )

    async def count(self, guild_id: GuildId) -> int:
        """Counts."""
        async with self._database.read(guild_id) as tx:
            number: int = await tx.fetchval(
                "SELECT count(*) FROM subscriptions WHERE guild_id = $1", guild_id
            )
        return number

    async def commit(
        self,
        changed: Subscription,
        *,
        origin: Origin | None,
        meaning: Sequence[float] | None,
        cause: Command[Any],
    ) -> SubscriptionInfo:
        """Row, revision and reply in one transaction."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            await _write(tx, guild_id, changed, origin, meaning, self._model)
            await tx.execute(_RAISE)
            (found,) = await progress.informed(tx, guild_id, [changed], self._max_lag)
            info = replace(found, made=changed.version == 1)
            await inbox.record(tx, cause, info)  # without a secret: it is shown once
            await _tell(tx, cause, _ACTIONS.get(type(cause), "subscription.change"), changed)
        return info

    async def delete(self, gone: Subscription, *, cause: Command[Any]) -> None:
        """Row, waiting lines, replays, revision and reply in one transaction."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            status = await tx.execute(
                "DELETE FROM subscriptions WHERE guild_id = $1 AND name = $2 AND version = $3",
                guild_id,
                gone.name,
                gone.version,
            )
            if status != "DELETE 1":
                raise VersionConflict("subscription", gone.name)
            await _forget(tx, progress.delivery_name(gone))
            await tx.execute(
                "WITH ended AS (UPDATE replays SET state = 'cancelled', version = version + 1,"
                " finished_at = now() WHERE guild_id = $1 AND subscription = $2"
                " AND state = 'running' RETURNING replay_id)"
                " DELETE FROM pull_deliveries WHERE subscription IN (SELECT replay_id FROM ended)",
                guild_id,
                gone.name,
            )
            await tx.execute(_RAISE)
            await inbox.record(tx, cause, None)
            await _tell(tx, cause, "subscription.delete", gone)


async def _tell(tx: Transaction, cause: Command[Any], action: str, about: Subscription) -> None:
    details = {"subscription_id": about.subscription_id, "version": about.version}
    told = entry_by(cause.context, action, "subscription", about.name, details)
    await audit_log.append(tx, [told])


def from_row(row: asyncpg.Record) -> Subscription:
    """The declaration of one row."""
    return Subscription(
        name=row["name"],
        subscription_id=row["subscription_id"],
        generation=row["generation"],
        filter_spec=orjson.loads(row["filter"]),
        sink=stored_sink.validate_json(row["sink"]),
        delivery=stored_delivery.validate_json(row["delivery"]),
        state=row["state"],
        reason=row["reason"],
        version=row["version"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        updated_at=row["updated_at"],
    )


async def _write(
    tx: Transaction,
    guild_id: GuildId,
    changed: Subscription,
    origin: Origin | None,
    meaning: Sequence[float] | None,
    model: ModelIdentity,
) -> None:
    begin = None if origin is None else await origins.resolve(tx, guild_id, origin)
    identity = (guild_id, changed.name, changed.subscription_id, changed.generation)
    content = (
        orjson.dumps(dict(changed.filter_spec)).decode(),
        stored_sink.dump_json(changed.sink).decode(),
        stored_delivery.dump_json(changed.delivery).decode(),
        changed.state,
        changed.reason,
        changed.version,
    )
    end = (
        None if meaning is None else orjson.dumps(list(meaning)).decode(),
        None if meaning is None else model.model_id,
        None if begin is None else str(begin.xid),
        None if begin is None else begin.seq,
    )
    if changed.version == 1:
        made = (changed.created_at, changed.created_by, changed.updated_at)
        status, done = await tx.execute(_INSERT, *identity, *content, *made, *end), "INSERT 0 1"
    else:
        updated = (changed.updated_at,)
        status, done = await tx.execute(_UPDATE, *identity, *content, *updated, *end), "UPDATE 1"
    if status != done:
        raise VersionConflict("subscription", changed.name)
    if begin is not None and changed.generation > 1:
        await _forget(tx, f"{changed.subscription_id}@{changed.generation - 1}")


async def _forget(tx: Transaction, delivery_name: str) -> None:
    await tx.execute("DELETE FROM pull_deliveries WHERE subscription = $1", delivery_name)
