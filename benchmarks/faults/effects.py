"""The effects of events, in tables of the benchmark's own beside the guild's."""

from collections.abc import Sequence

import asyncpg
import orjson

from actors.bus.domain.publishing import aggregate_id
from actors.events import CustomEvent, StoredEvent
from actors.storage.database import Transaction
from benchmarks.faults.plan import Workload
from benchmarks.guildcheck import Observer, Sighting

# Nothing here is unique but the inbox: a doubled effect must be able to happen.
_TABLES = """
CREATE SCHEMA IF NOT EXISTS faults;
CREATE TABLE IF NOT EXISTS faults.effects (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer  text NOT NULL,
    event     text NOT NULL,
    aggregate text NOT NULL,
    version   integer NOT NULL,
    amount    bigint NOT NULL,
    begun_at  double precision NOT NULL
);
CREATE INDEX IF NOT EXISTS effects_begun ON faults.effects (consumer, begun_at);
CREATE TABLE IF NOT EXISTS faults.totals (
    consumer  text NOT NULL,
    aggregate text NOT NULL,
    total     bigint NOT NULL,
    PRIMARY KEY (consumer, aggregate)
);
CREATE TABLE IF NOT EXISTS faults.inbox (
    consumer   text NOT NULL,
    event_id   text NOT NULL,
    deliveries integer NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
GRANT USAGE ON SCHEMA faults TO guild_app, guild_log;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA faults TO guild_app;
GRANT SELECT ON ALL TABLES IN SCHEMA faults TO guild_log;
"""

# Totals first: the row of an aggregate is a lock, so that numbers of its effects rise in the order
# of their commits.
_ADD = """
INSERT INTO faults.totals AS kept (consumer, aggregate, total)
SELECT $1, aggregate, sum(amount) FROM unnest($2::text[], $3::bigint[]) AS new(aggregate, amount)
GROUP BY aggregate ORDER BY aggregate
ON CONFLICT (consumer, aggregate) DO UPDATE SET total = kept.total + excluded.total
"""
_APPEND = """
INSERT INTO faults.effects (consumer, event, aggregate, version, amount, begun_at)
SELECT $1, event, aggregate, version, amount, begun_at
FROM unnest($2::text[], $3::text[], $4::int[], $5::bigint[], $6::float8[])
     WITH ORDINALITY AS new(event, aggregate, version, amount, begun_at, place)
ORDER BY place
"""
_RECEIVE = """
INSERT INTO faults.inbox AS known (consumer, event_id, deliveries)
SELECT $1, event_id, 1 FROM unnest($2::text[]) AS event_id ORDER BY event_id
ON CONFLICT (consumer, event_id) DO UPDATE SET deliveries = known.deliveries + 1
RETURNING event_id, deliveries
"""

_LOG = """
SELECT source_id AS event, aggregate_id, aggregate_version AS version,
       (data ->> 'amount')::bigint AS amount
FROM events WHERE type = $1 ORDER BY events.xid, events.seq
"""
_SEEN = """
SELECT event, aggregate, version, amount FROM faults.effects WHERE consumer = $1 ORDER BY number
"""
_TOTALS = "SELECT aggregate, total FROM faults.totals WHERE consumer = $1"
_SINCE = """
SELECT DISTINCT consumer FROM faults.effects WHERE consumer = ANY ($1) AND begun_at > $2
"""
_COUNTS = """
SELECT (SELECT count(*) FROM events WHERE type = $2) AS stored,
       (SELECT count(DISTINCT event) FROM faults.effects WHERE consumer = $1) AS effects
"""
_DELIVERIES = """
SELECT count(*) AS events, count(*) FILTER (WHERE deliveries > 1) AS again
FROM faults.inbox WHERE consumer = $1
"""
_IDS = "SELECT event_id FROM events WHERE type = $1"
_DEAD = "SELECT count(*) FROM dead_letters WHERE event ->> 'type' = $1"


async def prepare(owner_url: str) -> None:
    """Makes the tables; a second time changes nothing."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(_TABLES)
    finally:
        await connection.close()


async def receive(
    tx: Transaction, consumer: str, events: Sequence[StoredEvent]
) -> list[StoredEvent]:
    """Notes the delivery of each; those that are here for the first time shall take effect."""
    rows = await tx.fetch(_RECEIVE, consumer, [event.event_id for event in events])
    new = {row["event_id"] for row in rows if row["deliveries"] == 1}
    return [event for event in events if event.event_id in new]


async def take_effect(tx: Transaction, consumer: str, events: Sequence[StoredEvent]) -> None:
    """Every event raises the total of its aggregate, and leaves a line."""
    if not events:
        return
    data = [_data_of(event) for event in events]
    aggregates = [key_of(event.aggregate_id, event.source) for event in events]
    amounts = [int(one["amount"]) for one in data]
    await tx.execute(_ADD, consumer, aggregates, amounts)
    await tx.execute(
        _APPEND,
        consumer,
        [event.source_id or event.event_id for event in events],
        aggregates,
        [event.aggregate_version for event in events],
        amounts,
        [float(one["begun_at"]) for one in data],
    )


def key_of(aggregate: str, source: str) -> str:
    """The partition key that an aggregate of this source was made of."""
    return aggregate.removeprefix(aggregate_id(source, None))


def data(amount: int, begun_at: float) -> str:
    """The payload of an event of this benchmark."""
    return orjson.dumps({"amount": amount, "begun_at": begun_at}).decode()


def sighting(event: StoredEvent) -> Sighting:
    """An event as one sees it in the log."""
    return Sighting(
        event.source_id or event.event_id,
        key_of(event.aggregate_id, event.source),
        event.aggregate_version,
        int(_data_of(event)["amount"]),
    )


def _data_of(event: StoredEvent) -> dict[str, float]:
    assert isinstance(event.payload, CustomEvent)  # noqa: S101  # of our own type
    found: dict[str, float] = orjson.loads(event.payload.data)
    return found


class Books:
    """What the log and the consumers have, as the role ``guild_log`` sees it."""

    def __init__(self, log_url: str, workload: Workload) -> None:
        self._url = log_url
        self._workload = workload

    async def silent(self, since: float) -> tuple[str, ...]:
        """Consumers that have handled no event whose publishing began after a moment."""
        consumers = self._workload.consumers
        rows = await self._fetch(_SINCE, list(consumers), since)
        heard = {row["consumer"] for row in rows}
        return tuple(self._workload.short(name) for name in consumers if name not in heard)

    async def behind(self) -> int:
        """How many events of the log have not taken effect somewhere, added up."""
        missing = 0
        for consumer in self._workload.consumers:
            (row,) = await self._fetch(_COUNTS, consumer, self._workload.type)
            missing += row["stored"] - row["effects"]
        return missing

    async def observers(self) -> list[Observer]:
        """The log first, then each consumer with its totals."""
        rows = await self._fetch(_LOG, self._workload.type)
        log = [
            Sighting(
                row["event"],
                key_of(row["aggregate_id"], self._workload.source),
                row["version"],
                row["amount"],
            )
            for row in rows
        ]
        return [
            Observer(name="log", seen=log),
            *[await self._consumer(name) for name in self._workload.consumers],
        ]

    async def redelivered(self) -> dict[str, float]:
        """Consumer → share of its events, in percent, that were delivered more than once.

        The client that pulls has counted them. Of the members it is known how many must have been:
        those whose acknowledgement they withheld.
        """
        workload = self._workload
        (row,) = await self._fetch(_DELIVERIES, workload.pulled)
        shares = {"pulled": 100 * row["again"] / max(1, row["events"])}
        if workload.pooled:
            ids = [line["event_id"] for line in await self._fetch(_IDS, workload.type)]
            share = 100 * sum(map(workload.withholds, ids)) / max(1, len(ids))
            shares |= dict.fromkeys(map(workload.short, workload.pooled), share)
        return shares

    async def dead_letters(self) -> int:
        """Deliveries of this run that were given up."""
        (row,) = await self._fetch(_DEAD, self._workload.type)
        return int(row[0])

    async def _consumer(self, name: str) -> Observer:
        rows = await self._fetch(_SEEN, name)
        totals = await self._fetch(_TOTALS, name)
        return Observer(
            name=self._workload.short(name),
            seen=[Sighting(*row) for row in rows],
            totals={row["aggregate"]: row["total"] for row in totals},
        )

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """A connection for each question: servers die between them."""
        connection = await asyncpg.connect(self._url, timeout=3)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *arguments, timeout=20)
            return rows
        finally:
            connection.terminate()
