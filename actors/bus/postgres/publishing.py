"""Events from outside, a whole group in one statement."""

from collections.abc import Sequence

import asyncpg

from actors.bus.domain.publishing import Line
from actors.bus.messages import Published
from actors.errors import ValidationError, VersionConflict
from actors.runtime.message import GuildId, Position
from actors.storage.database import Database, Transaction

# Numbers are given in the publisher's order before anything else, so that the order of an
# aggregate's versions is the order of the log. Identities and heads are written in the order of
# their keys: two groups that meet wait for each other, and do not lock each other out.
_APPEND = """
WITH given AS MATERIALIZED (
    SELECT nextval('event_numbers') AS seq, line.*
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[],
                $9::text[], $10::timestamptz[], $11::text[], $12::text[], $13::text[],
                $14::text[], $15::text[], $16::text[])
         AS line(event_id, source, source_id, type, schema_version, subject, aggregate_id,
                 priority, occurred_at, correlation_id, causation_id, principal_id, attributes,
                 sealed_for, data)
), fresh AS (
    INSERT INTO event_identities (guild_id, source, source_id, event_id, seq)
    SELECT $1, source, source_id, event_id, seq FROM given ORDER BY source, source_id, seq
    ON CONFLICT DO NOTHING
    RETURNING event_id
), new AS (
    SELECT given.*, row_number() OVER (PARTITION BY aggregate_id ORDER BY seq) AS place,
           count(*) OVER (PARTITION BY aggregate_id) AS places
    FROM given JOIN fresh USING (event_id)
), heads AS (
    INSERT INTO aggregate_heads AS head (guild_id, aggregate_id, version, xid)
    SELECT $1, aggregate_id, count(*), pg_current_xact_id() FROM new
    GROUP BY aggregate_id ORDER BY aggregate_id
    ON CONFLICT (guild_id, aggregate_id) DO UPDATE
    SET version = head.version + excluded.version, xid = excluded.xid
    WHERE head.xid <= excluded.xid
    RETURNING aggregate_id, version
), written AS (
    INSERT INTO events (seq, guild_id, event_id, source, source_id, type, schema_version, subject,
                        aggregate_id, aggregate_version, priority, occurred_at, correlation_id,
                        causation_id, principal_id, attributes, sealed_for, data)
    SELECT seq, $1, event_id, source, source_id, type, schema_version, subject,
           aggregate_id, version - places + place, priority, occurred_at, correlation_id,
           causation_id, principal_id, attributes::jsonb, sealed_for, data::jsonb
    FROM new JOIN heads USING (aggregate_id) ORDER BY seq
    RETURNING event_id, seq
)
SELECT pg_current_xact_id()::text AS xid, (SELECT count(*) FROM fresh) AS fresh,
       array_agg(event_id) AS event_ids, array_agg(seq) AS seqs
FROM written
"""

_FIRST = """
SELECT source, source_id, event_id, identity.xid::text AS xid, seq
FROM unnest($2::text[], $3::text[]) AS sought(source, source_id)
JOIN event_identities AS identity USING (source, source_id)
WHERE guild_id = $1
"""

_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


class PostgresPublishingStore:
    """The `PublishingStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, guild_id: GuildId, lines: Sequence[Line]) -> Sequence[Published]:
        """Two statements where something was there already, else one."""
        try:
            async with self._database.transaction(guild_id) as tx:
                return await _append(tx, guild_id, lines)
        except _REFUSED as error:
            raise ValidationError("events", "hold what the database cannot store") from error


async def _append(tx: Transaction, guild_id: GuildId, lines: Sequence[Line]) -> list[Published]:
    columns: list[tuple[object, ...]] = list(zip(*lines, strict=True))
    row = await tx.fetchrow(_APPEND, guild_id, *columns)
    assert row is not None  # noqa: S101  # an aggregate without groups always answers
    seqs = dict(zip(row["event_ids"] or (), row["seqs"] or (), strict=True))
    if len(seqs) < row["fresh"]:
        raise VersionConflict("record", "")
    xid = int(row["xid"])
    if seqs:
        tx.position = Position(xid, max(seqs.values()), tx.epoch)
    if len(seqs) == len(lines):
        return [
            Published(event_id=line.event_id, position=Position(xid, seqs[line.event_id], tx.epoch))
            for line in lines
        ]
    return await _with_firsts(tx, guild_id, lines, xid, seqs)


async def _with_firsts(
    tx: Transaction, guild_id: GuildId, lines: Sequence[Line], xid: int, seqs: dict[str, int]
) -> list[Published]:
    repeated = {(line.source, line.source_id): None for line in lines if line.event_id not in seqs}
    sources, source_ids = zip(*repeated, strict=True)
    rows = await tx.fetch(_FIRST, guild_id, sources, source_ids)
    firsts = {(row["source"], row["source_id"]): row for row in rows}
    answers = []
    for line in lines:
        seq = seqs.get(line.event_id)
        if seq is not None:
            answers.append(Published(event_id=line.event_id, position=Position(xid, seq, tx.epoch)))
            continue
        first = firsts.get((line.source, line.source_id))
        if first is None:  # forgotten by housekeeping between the two statements
            raise VersionConflict("record", line.source_id)
        position = Position(int(first["xid"]), first["seq"], tx.epoch)
        answers.append(Published(event_id=first["event_id"], position=position, duplicate=True))
    return answers
