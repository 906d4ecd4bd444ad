"""Standing queries and what they matched."""

from collections.abc import Sequence

import numpy as np
import orjson

from actors.bus.store import Standing
from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.events import DeliverEvents, StoredEvent, SubscriptionMatched
from actors.runtime.message import GuildId, Position
from actors.storage import inbox, system_events
from actors.storage.database import Database, binary_vector
from actors.storage.system_events import SystemEvent

_STANDING = """
SELECT subscription_id, filter, origin_xid::text AS xid, origin_seq AS seq,
       CASE WHEN meaning_model = $2 AND vector_dims(meaning) = $3 THEN meaning::text END AS meaning
FROM subscriptions
WHERE guild_id = $1 AND meaning IS NOT NULL ORDER BY subscription_id
"""

_KEEP = """
WITH held AS MATERIALIZED (
    SELECT subscription_id FROM subscriptions WHERE guild_id = $1 AND subscription_id = ANY($2)
    ORDER BY subscription_id FOR UPDATE
)
UPDATE subscriptions SET meaning = made.meaning, meaning_model = $5
FROM held JOIN unnest($2::text[], $3::text[], $4::vector[]) AS made(subscription_id, said, meaning)
    USING (subscription_id)
WHERE subscriptions.guild_id = $1 AND subscriptions.subscription_id = held.subscription_id
  AND subscriptions.meaning IS NOT NULL AND subscriptions.filter->>'similar_to' = made.said
"""


class PostgresMeaningStore:
    """The `MeaningStore` over a `Database` of the role ``guild_app``.

    Args:
        database: one guild a transaction.
        model: that vectors must come from; those of another are as if they were not there.
    """

    def __init__(self, database: Database, model: ModelIdentity = SHIPPED) -> None:
        self._database = database
        self._model = model

    async def revision(self, guild_id: GuildId) -> int:
        """One row for all guilds."""
        async with self._database.read(guild_id) as tx:
            revision: int = await tx.fetchval("SELECT revision FROM subscription_revision")
        return revision

    async def standing(self, guild_id: GuildId) -> Sequence[Standing]:
        """All of the guild; their number is bounded."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(_STANDING, guild_id, self._model.model_id, self._model.dimension)
        return [
            Standing(
                row["subscription_id"],
                orjson.loads(row["filter"]),
                None if row["meaning"] is None else orjson.loads(row["meaning"]),
                Position(int(row["xid"]), row["seq"], self._database.epoch),
            )
            for row in rows
        ]

    async def keep(self, guild_id: GuildId, made: Sequence[Standing]) -> None:
        """See `MeaningStore.keep`; nobody who remembers the former vectors has to read again."""
        vectors = [np.array(one.vector, "<f4").tobytes() for one in made]
        async with self._database.transaction(guild_id) as tx:
            await tx.execute(
                _KEEP,
                guild_id,
                [one.subscription_id for one in made],
                [one.filter_spec["similar_to"] for one in made],
                [binary_vector(vector) for vector in vectors],
                self._model.model_id,
            )

    async def commit(
        self, matched: Sequence[tuple[StoredEvent, SubscriptionMatched]], *, cause: DeliverEvents
    ) -> None:
        """Events and inbox rows in one transaction."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            for event, payload in matched:
                delivery = f"{cause.subscription}/{event.event_id}"
                # In the order in which they happened, so that those of one aggregate stay in it.
                if await inbox.forestall(tx, guild_id, delivery):
                    await system_events.append(tx, [_said(event, payload)])


def _said(event: StoredEvent, payload: SubscriptionMatched) -> SystemEvent:
    return SystemEvent(
        guild_id=event.guild_id,
        aggregate_id=f"match:{event.aggregate_id}",
        payload=payload,
        correlation_id=event.correlation_id,
        causation_id=event.event_id,
        priority=event.priority,
        principal_id=event.principal_id,
    )
