"""What waits to be pulled. Leases are on the server's clock."""

from collections.abc import Sequence

import asyncpg

from actors import metrics
from actors.bus.domain.pulling import Loan
from actors.bus.messages import PulledEvent, Subscription
from actors.bus.postgres import burial
from actors.bus.postgres.progress import delivery_name
from actors.bus.store import Leased
from actors.errors import LateAck
from actors.events import StoredEvent
from actors.runtime.message import Context, GuildId
from actors.storage import log
from actors.storage.database import Database, Transaction

_SERIES = "declared.pull"

# A line may go when no earlier one of its aggregate is unfinished, and its own lease has passed.
# Two pullers may look at the same time: each takes the locks it can get, and what the other has
# taken meanwhile does not match any more. The next line of an aggregate is out of reach of both
# until a snapshot shows the one before finished.
_READY = """
WITH keys AS (
    SELECT $1::text AS subscription
    UNION ALL
    SELECT replay_id FROM replays
    WHERE guild_id = $2 AND replays.subscription = $3 AND state <> 'cancelled'
      AND EXISTS (SELECT 1 FROM pull_deliveries AS line
                  WHERE line.subscription = replay_id AND finished_at IS NULL)
), waiting AS MATERIALIZED (
    SELECT subscription, xid, seq, urgent, attempt, available_at,
           row_number() OVER (PARTITION BY subscription, aggregate_id ORDER BY xid, seq) AS place,
           bool_or(urgent) OVER (PARTITION BY subscription, aggregate_id) AS lent_urgent
    FROM pull_deliveries JOIN keys USING (subscription) WHERE finished_at IS NULL
), ready AS MATERIALIZED (
    SELECT subscription, xid, seq, attempt,
           CASE WHEN $4::boolean THEN lent_urgent ELSE urgent END AS urgent
    FROM waiting WHERE (place = 1 OR NOT $4) AND available_at <= now()
)
"""

# An urgent event behind a routine one of its aggregate lends it its lane. The first of the routine
# lane come first as far as their share goes; then urgent, then routine ones.
_LEASE = f"""
{_READY}, ranked AS (
    SELECT *, row_number() OVER (PARTITION BY urgent ORDER BY xid, seq) AS place
    FROM ready WHERE attempt < $5
), chosen AS (
    SELECT line.subscription, line.xid, line.seq, ranked.urgent
    FROM ranked JOIN pull_deliveries AS line USING (subscription, xid, seq)
    WHERE line.finished_at IS NULL AND line.available_at <= now() AND line.attempt < $5
    ORDER BY NOT ranked.urgent AND place <= $7 DESC, ranked.urgent DESC, line.xid, line.seq
    LIMIT least($6::bigint, greatest(0, $8 - (
        SELECT count(*) FROM waiting WHERE attempt > 0 AND available_at > now())))
    FOR UPDATE OF line SKIP LOCKED
), leased AS (
    UPDATE pull_deliveries AS line
    SET attempt = line.attempt + 1, available_at = now() + $9::float8 * interval '1 second'
    FROM chosen
    WHERE (line.subscription, line.xid, line.seq) = (chosen.subscription, chosen.xid, chosen.seq)
    RETURNING line.subscription, line.xid, line.seq, line.attempt, line.available_at, chosen.urgent
)
SELECT exhausted, leased.subscription, leased.xid::text AS line_xid, leased.seq AS line_seq,
       attempt, available_at, events.*
FROM (SELECT count(*) AS exhausted FROM ready WHERE attempt >= $5) AS known
LEFT JOIN leased ON true
LEFT JOIN events ON events.xid = leased.xid AND events.seq = leased.seq
ORDER BY leased.urgent DESC, leased.xid, leased.seq
"""  # noqa: S608  # constants only

_EXHAUSTED = f"""
{_READY}
SELECT line.subscription, line.xid::text AS line_xid, line.seq AS line_seq
FROM ready JOIN pull_deliveries AS line USING (subscription, xid, seq)
WHERE line.finished_at IS NULL AND line.available_at <= now() AND line.attempt >= $5
ORDER BY line.xid, line.seq LIMIT $6
FOR UPDATE OF line SKIP LOCKED
"""  # noqa: S608  # constants only

_GIVEN = """
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::float8[])
         WITH ORDINALITY AS given(subscription, xid, seq, attempt, delay_s, place)
), changed AS (
    UPDATE pull_deliveries AS line SET {change} FROM given
    WHERE (line.subscription, line.xid, line.seq) = (given.subscription, given.xid::xid8, given.seq)
      AND line.attempt = given.attempt AND line.finished_at IS NULL AND line.available_at > now()
    RETURNING given.place
)
SELECT given.place, line.event_id, changed.place IS NOT NULL AS changed,
       line.attempt = given.attempt AND line.finished_at IS NOT NULL AS finished,
       line.available_at < line.finished_at AS buried
FROM given
LEFT JOIN pull_deliveries AS line
     ON (line.subscription, line.xid, line.seq) = (given.subscription, given.xid::xid8, given.seq)
LEFT JOIN changed USING (place)
ORDER BY place
"""
_ACK = _GIVEN.format(change="finished_at = now()")
_NACK = _GIVEN.format(change="available_at = now() + given.delay_s * interval '1 second'")


class PostgresPullStore:
    """The `PullStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._given_up = metrics.DEAD_LETTERS.labels(_SERIES)

    async def lease(
        self, context: Context, subscription: Subscription, limit: int, routine: int
    ) -> Leased:
        """One statement, unless something has to be buried."""
        guild_id, policy = context.caller.guild_id, subscription.delivery
        key = delivery_name(subscription)
        common = (
            key,
            guild_id,
            subscription.name,
            policy.ordering == "aggregate",
            policy.max_attempts,
            limit,
        )
        async with self._database.transaction(guild_id) as tx:
            rows = await tx.fetch(
                _LEASE, *common, routine, policy.max_in_flight, policy.ack_deadline_s
            )
            exhausted = rows[0]["exhausted"]
            graves = []
            if exhausted:
                reason = f"not acknowledged within {policy.ack_deadline_s:g} s"
                graves += [_grave(row, reason) for row in await tx.fetch(_EXHAUSTED, *common)]
            lent = [row for row in rows if row["subscription"] is not None]
            pulled, unreadable, gone = await _sorted_out(tx, lent, key)
            buried = await burial.bury(tx, context, subscription, graves + unreadable)
            await burial.finish(tx, gone)
        self._given_up.inc(buried)
        return Leased(
            events=tuple(pulled), again=bool(exhausted or unreadable or gone) and not pulled
        )

    async def ack(
        self, guild_id: GuildId, subscription: Subscription, given: Sequence[Loan]
    ) -> None:
        """All of them, or an error and none."""
        async with self._database.transaction(guild_id) as tx:
            await _change(tx, _ACK, subscription, given, [0.0] * len(given))

    async def nack(
        self,
        context: Context,
        subscription: Subscription,
        given: Sequence[Loan],
        delays_s: Sequence[float],
        reason: str,
    ) -> None:
        """All of them, or an error and none; the last attempt's line is buried."""
        key = delivery_name(subscription)
        async with self._database.transaction(context.caller.guild_id) as tx:
            await _change(tx, _NACK, subscription, given, delays_s)
            last = [
                burial.Grave(loan.replay_id or key, loan.xid, loan.seq, reason)
                for loan in given
                if loan.attempt >= subscription.delivery.max_attempts
            ]
            buried = await burial.bury(tx, context, subscription, last)
        self._given_up.inc(buried)


async def _change(
    tx: Transaction,
    statement: str,
    subscription: Subscription,
    given: Sequence[Loan],
    delays_s: Sequence[float],
) -> None:
    key = delivery_name(subscription)
    rows = await tx.fetch(
        statement,
        [loan.replay_id or key for loan in given],
        [str(loan.xid) for loan in given],
        [loan.seq for loan in given],
        [loan.attempt for loan in given],
        list(delays_s),
    )
    for loan, row in zip(given, rows, strict=True):
        # Finished under this very attempt: a repeat of what was answered already.
        repeated = row["finished"] and (statement is _NACK or not row["buried"])
        if not row["changed"] and not repeated:
            raise LateAck(row["event_id"] or str(loan))


async def _sorted_out(
    tx: Transaction, rows: Sequence[asyncpg.Record], key: str
) -> tuple[list[PulledEvent], list[burial.Grave], list[burial.Grave]]:
    """What is lent, what cannot be read, and what ends in silence: its event is no more."""
    gone = [_grave(row, "gone") for row in rows if row["event_id"] is None]  # with its partition
    rows = [row for row in rows if row["event_id"] is not None]
    pulled, unreadable = [], []
    for row, found in zip(rows, await log.decoded(tx, rows), strict=True):
        match found:
            case StoredEvent() as event if event.is_erased:
                gone.append(_grave(row, "erased"))
            case StoredEvent() as event:
                replay_id = None if row["subscription"] == key else row["subscription"]
                loan = Loan(int(row["line_xid"]), row["line_seq"], row["attempt"], replay_id)
                pulled.append(
                    PulledEvent(
                        ack_id=str(loan),
                        event=event,
                        attempt=loan.attempt,
                        lease_until=row["available_at"],
                    )
                )
            case log.Unreadable(reason=reason):
                unreadable.append(_grave(row, reason))
            case None:
                unreadable.append(_grave(row, f"unreadable: {row['type']} is not known"))
    return pulled, unreadable, gone


def _grave(row: asyncpg.Record, reason: str) -> burial.Grave:
    return burial.Grave(row["subscription"], int(row["line_xid"]), row["line_seq"], reason)
