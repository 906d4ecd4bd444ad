"""The limit: PostgreSQL itself, the log's own tables, one statement for a request.

No roles, no row-level security, no checks, no identity that is answered instead of refused: the
least that can be done to have an event in these tables and their indexes, durably.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from actors import clock
from benchmarks.event_logs.drafts import SOURCE, Draft
from benchmarks.event_logs.lanes import Lanes

CONNECTIONS = 32
_GUILD = "guild_" + "0" * 26
_TYPE = "custom.bench.bare"

_COLUMNS = """
INSERT INTO events (seq, guild_id, event_id, source, source_id, type, subject, aggregate_id,
                    aggregate_version, priority, occurred_at, correlation_id, principal_id, data)
"""
_ONE = f"""
WITH line AS (SELECT nextval('event_numbers') AS seq), identity AS (
    INSERT INTO event_identities (guild_id, source, source_id, event_id, seq)
    SELECT $1, $2, $3, $4, seq FROM line
), head AS (
    INSERT INTO aggregate_heads AS head (guild_id, aggregate_id, version, xid)
    VALUES ($1, $5, 1, pg_current_xact_id())
    ON CONFLICT (guild_id, aggregate_id) DO UPDATE
    SET version = head.version + 1, xid = excluded.xid
    RETURNING version
)
{_COLUMNS}
SELECT seq, $1, $4, $2, $3, $6, $5, $5, version, 'normal', now(), $4, 'bench', $7::text::jsonb
FROM line, head
"""  # noqa: S608  # constants only
_MANY = f"""
WITH line AS MATERIALIZED (
    SELECT nextval('event_numbers') AS seq, new.*
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
         AS new(source_id, event_id, aggregate_id, data)
), identity AS (
    INSERT INTO event_identities (guild_id, source, source_id, event_id, seq)
    SELECT $1, $6, source_id, event_id, seq FROM line
), head AS (
    INSERT INTO aggregate_heads AS head (guild_id, aggregate_id, version, xid)
    SELECT $1, aggregate_id, count(*), pg_current_xact_id() FROM line
    GROUP BY aggregate_id ORDER BY aggregate_id
    ON CONFLICT (guild_id, aggregate_id) DO UPDATE
    SET version = head.version + excluded.version, xid = excluded.xid
    RETURNING aggregate_id, version
)
{_COLUMNS}
SELECT seq, $1, event_id, $6, source_id, $7, aggregate_id, aggregate_id, version, 'normal', now(),
       event_id, 'bench', data::jsonb
FROM line JOIN head USING (aggregate_id) ORDER BY seq
"""  # noqa: S608  # constants only


class BareLog:
    """A `Log` that is a table."""

    def __init__(self, connections: "Lanes[asyncpg.Connection[asyncpg.Record]]") -> None:
        self._connections = connections

    async def write(self, drafts: Sequence[Draft]) -> None:
        """One statement, and with it one transaction."""
        async with self._connections.one() as connection:
            if len(drafts) == 1:
                (draft,) = drafts
                await connection.execute(
                    _ONE,
                    _GUILD,
                    SOURCE,
                    draft.source_id,
                    clock.new_id("evt"),
                    draft.key,
                    _TYPE,
                    draft.data,
                )
                return
            await connection.execute(
                _MANY,
                _GUILD,
                [draft.source_id for draft in drafts],
                clock.new_ids("evt", len(drafts)),
                [draft.key for draft in drafts],
                [draft.data for draft in drafts],
                SOURCE,
                _TYPE,
            )


@asynccontextmanager
async def bare_log(url: str) -> AsyncIterator[BareLog]:
    """Over as many connections as the limit has."""
    connections = [await asyncpg.connect(url) for _ in range(CONNECTIONS)]
    try:
        yield BareLog(Lanes(connections))
    finally:
        for connection in connections:
            await connection.close()
