"""Over how many routers the log is spread: cursors follow when that changes."""

from actors.storage.database import Database
from actors.storage.leaders import Lease, hold

# Where the slowest of the former parts stood; one that had no cursor yet stood at the beginning.
_SLOWEST = """
SELECT DISTINCT ON (base) base, xid::text AS xid, seq FROM (
    SELECT split_part(subscription, '#', 1) AS base, xid, seq,
           count(*) OVER (PARTITION BY split_part(subscription, '#', 1)) AS parts
    FROM cursors
    WHERE split_part(subscription, '/', 2) = CASE $1::int WHEN 1 THEN '' ELSE $1::text END
) AS former
WHERE parts = $1
ORDER BY base, former.xid, former.seq
"""
_SPREAD = """
INSERT INTO cursors (subscription, xid, seq)
SELECT base || CASE $1::int WHEN 1 THEN '' ELSE '#' || part || '/' || $1 END, xid::xid8, seq
FROM unnest($2::text[], $3::text[], $4::bigint[]) AS slowest(base, xid, seq)
CROSS JOIN generate_series(0, $1::int - 1) AS part
"""


async def present(database: Database) -> int:
    """Over how many routers the log is spread."""
    async with database.across_guilds() as tx:
        parts: int = await tx.fetchval("SELECT router_partitions FROM log_state")
    return parts


async def adopt(database: Database, lease: Lease, parts: int) -> bool:
    """Spreads the cursors over so many routers, unless they are already; whether it changed.

    The routers of the former number are fenced out: each part of the log has one owner, also
    while the number changes. What the slowest had not finished is delivered again, and the
    inboxes know it.

    Args:
        database: of the role ``guild_log``.
        lease: of one router of the new number.
        parts: how many there are from now on.

    Raises:
        LeadershipLost: the lease is over; nothing was changed.
    """
    async with database.across_guilds() as tx:
        former = await tx.fetchval("SELECT router_partitions FROM log_state FOR UPDATE")
        if former == parts:
            return False
        await hold(tx, lease)
        slowest = await tx.fetch(_SLOWEST, former)
        await tx.execute("DELETE FROM cursors")
        await tx.execute(
            _SPREAD,
            parts,
            [row["base"] for row in slowest],
            [row["xid"] for row in slowest],
            [row["seq"] for row in slowest],
        )
        await tx.execute("UPDATE log_state SET router_partitions = $1", parts)
        await tx.execute(
            "UPDATE leaders SET epoch = epoch + 1 WHERE name ~ '^router(/|$)' AND name <> $1",
            lease.name,
        )
    return True
