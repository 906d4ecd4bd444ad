"""A new epoch for a log that was restored on another server.

Transaction ids of the old server mean nothing on the new one: its own begin somewhere else, so that
old events would lie above every horizon and new ones below every cursor. Everything gets a new
position here, in the old order, and what is kept of positions follows.
"""

from dataclasses import dataclass

import asyncpg

_TENANTS = (
    "events",
    "aggregate_heads",
    "event_identities",
    "dead_letters",
    "subscriptions",
    "pull_deliveries",
    "replays",
    "inbox",
)

_PLACES = """
CREATE TEMPORARY TABLE places ON COMMIT DROP AS
SELECT xid, seq, row_number() OVER (ORDER BY xid, seq) AS place FROM events
"""

# One transaction writes them all, so one id stands for all, and their order is that of `seq`.
_EVENTS = """
UPDATE events SET xid = pg_current_xact_id(), seq = place
FROM places WHERE events.xid = places.xid AND events.seq = places.seq
"""
# Of an event that carries another (`actors.carried`), the position at the end.
_CARRIED = """
UPDATE events SET data = jsonb_set(data, '{event}', to_jsonb(regexp_replace(
    data->>'event', '"position":"[0-9-]+"}$',
    format('"position":"%s-%s-%s"}', epoch + 1, pg_current_xact_id(), place))))
FROM log_state, places
WHERE type = 'sage.rag.subscription.matched' AND format('%s-%s-%s', epoch, places.xid, places.seq)
      = substring(data->>'event' FROM '"position":"([0-9-]+)"}$')
"""
_HEADS = "UPDATE aggregate_heads SET xid = pg_current_xact_id()"
_IDENTITIES = """
UPDATE event_identities AS known SET xid = pg_current_xact_id(), seq = coalesce((
    SELECT place FROM places WHERE places.xid = known.xid AND places.seq = known.seq), 0)
"""
# What is behind a place keeps being behind it: the number of events up to there.
_BEHIND = """
UPDATE {table} SET {xid} = pg_current_xact_id(), {seq} = coalesce((
    SELECT max(place) FROM places WHERE (places.xid, places.seq) <= ({table}.{xid}, {table}.{seq})
), 0)
"""
_PULLED = """
WITH lost AS (
    DELETE FROM pull_deliveries AS line WHERE NOT EXISTS (
        SELECT 1 FROM places WHERE places.xid = line.xid AND places.seq = line.seq)
)
UPDATE pull_deliveries AS line SET xid = pg_current_xact_id(), seq = place
FROM places WHERE line.xid = places.xid AND line.seq = places.seq
"""
_LETTERS = """
UPDATE dead_letters SET event = event || jsonb_build_object(
    'xid', pg_current_xact_id()::text,
    'seq', coalesce((SELECT place FROM places WHERE places.xid = (event->>'xid')::xid8
                     AND places.seq = (event->>'seq')::bigint), 0))
WHERE event IS NOT NULL
"""
_REPLIES = "UPDATE inbox SET position = NULL WHERE position IS NOT NULL"
_NUMBERS = "SELECT setval('event_numbers', (SELECT count(*) + 1 FROM places), false)"
_STATE = """
UPDATE log_state SET epoch = epoch + 1, system_identifier = control.system_identifier
FROM pg_control_system() AS control
RETURNING epoch
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename IN ('guild_app', 'guild_log')
"""
_AT_HOME = """
SELECT state.system_identifier = control.system_identifier
FROM log_state AS state, pg_control_system() AS control
"""


class NotNow(Exception):
    """The log cannot, or need not, be renumbered; the text says why."""


@dataclass(frozen=True, slots=True)
class Renumbered:
    """What was done."""

    epoch: int
    events: int


async def renumber(
    owner_url: str, *, timeout_s: float = 3600.0, recovered: bool = False
) -> Renumbered:
    """Begins a new epoch, in one transaction: all of it or nothing.

    Args:
        owner_url: connection of the role ``guild_owner``.
        timeout_s: for each statement; every line of the log is written anew.
        recovered: also a log that is at home: its server was recovered to a point in time, and
            what came behind that point is numbered once more.

    Raises:
        NotNow: the log is at home on this server, or somebody works on it.
    """
    connection = await asyncpg.connect(owner_url, command_timeout=timeout_s)
    try:
        if not recovered and await connection.fetchval(_AT_HOME):
            raise NotNow("this log was written on this server: there is nothing to do")
        if others := await connection.fetchval(_OTHERS):
            raise NotNow(f"{others} connections of the guild are open: stop the stack first")
        async with connection.transaction():
            return await _renumber(connection)
    finally:
        await connection.close()


async def _renumber(connection: "asyncpg.Connection[asyncpg.Record]") -> Renumbered:
    for table in _TENANTS:
        await connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    status = await connection.execute(_PLACES)
    await connection.execute("CREATE UNIQUE INDEX ON places (xid, seq); ANALYZE places")
    for statement in (
        _EVENTS,
        _CARRIED,
        _HEADS,
        _IDENTITIES,
        _BEHIND.format(table="cursors", xid="xid", seq="seq"),
        _BEHIND.format(table="subscriptions", xid="origin_xid", seq="origin_seq"),
        _BEHIND.format(table="replays", xid="from_xid", seq="from_seq"),
        _BEHIND.format(table="replays", xid="to_xid", seq="to_seq"),
        _PULLED,
        _LETTERS,
        _REPLIES,
        _NUMBERS,
    ):
        await connection.execute(statement)
    epoch = await connection.fetchval(_STATE)
    for table in _TENANTS:
        await connection.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    return Renumbered(epoch=epoch, events=int(status.rpartition(" ")[2]))
