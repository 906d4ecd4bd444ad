"""How far subscriptions have come, several in one statement."""

from collections.abc import Sequence

import asyncpg

from actors.bus.domain.subscriptions import types_read
from actors.bus.messages import Progress, Subscription, SubscriptionInfo
from actors.runtime.message import GuildId, Position
from actors.storage.database import Transaction

_SEPARATOR = "\x1f"

# A router of several partitions keeps a cursor for each; the slowest one counts, and one that is
# not there yet stands at the beginning.
_PROGRESS = """
WITH given AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
         AS given(name, subscription_id, key, patterns)
), own AS MATERIALIZED (
    SELECT split_part(subscription, '#', 1) AS key, cursors.xid, cursors.seq, router_partitions,
           count(*) OVER (PARTITION BY split_part(subscription, '#', 1)) AS found
    FROM cursors CROSS JOIN log_state
    WHERE split_part(subscription, '/', 2)
          = CASE router_partitions WHEN 1 THEN '' ELSE router_partitions::text END
)
SELECT given.name, at.xid::text AS xid, at.seq, behind.lag,
       coalesce(extract(epoch FROM clock_timestamp() - behind.oldest), 0)::float8 AS oldest_s,
       waiting.number AS waiting, letters.number AS letters
FROM given
JOIN subscriptions USING (name)
LEFT JOIN LATERAL (
    SELECT own.xid, own.seq FROM own WHERE own.key = given.key AND found >= router_partitions
    ORDER BY own.xid, own.seq LIMIT 1
) AS at ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS lag, min(recorded_at) AS oldest FROM (
        SELECT recorded_at FROM events
        WHERE (events.xid, events.seq)
              > (coalesce(at.xid, origin_xid), coalesce(at.seq, origin_seq))
          AND events.guild_id = $1 AND type LIKE ANY (string_to_array(given.patterns, E'\\x1f'))
        ORDER BY events.xid, events.seq LIMIT $6
    ) AS wanted
) AS behind
CROSS JOIN LATERAL (
    SELECT count(*) AS number FROM pull_deliveries
    WHERE subscription = given.key AND finished_at IS NULL
) AS waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS number FROM dead_letters AS letter
    WHERE split_part(letter.subscription, '@', 1) IN (given.name, given.subscription_id)
      AND redriven_at IS NULL AND discarded_at IS NULL
) AS letters
WHERE subscriptions.guild_id = $1
"""


async def informed(
    tx: Transaction, guild_id: GuildId, found: Sequence[Subscription], max_lag: int
) -> list[SubscriptionInfo]:
    """These subscriptions, in the order given, with how far each has come."""
    rows = await tx.fetch(
        _PROGRESS,
        guild_id,
        [one.name for one in found],
        [one.subscription_id for one in found],
        [delivery_name(one) for one in found],
        [_SEPARATOR.join(map(like, types_read(one.filter_spec))) for one in found],
        max_lag,
    )
    progress = {row["name"]: _progress(row, tx.epoch) for row in rows}
    return [SubscriptionInfo(subscription=one, progress=progress[one.name]) for one in found]


def delivery_name(subscription: Subscription) -> str:
    """What its cursor and its deliveries are called."""
    return f"{subscription.subscription_id}@{subscription.generation}"


def like(pattern: str) -> str:
    """A pattern of types as LIKE has it."""
    for special in "\\%_":
        pattern = pattern.replace(special, "\\" + special)
    return pattern.replace("*", "%")


def _progress(row: asyncpg.Record, epoch: int) -> Progress:
    return Progress(
        cursor=None if row["xid"] is None else Position(int(row["xid"]), row["seq"], epoch),
        lag=row["lag"],
        oldest_unacked_s=max(0.0, row["oldest_s"]),
        waiting=row["waiting"],
        dead_letters=row["letters"],
    )
