"""The audit log in PostgreSQL: lengthened in the transaction of what it tells, read, verified.

Numbers and hashes are given by the database's own function: the role of the sages cannot write
them, and nobody can change a line by a statement.
"""

from collections.abc import Sequence
from dataclasses import asdict

import asyncpg
import orjson

from actors.audit import GENESIS, Anchor, AuditEntry, AuditRecord, Chain
from actors.runtime.message import GuildId
from actors.storage.database import Database, Transaction

COLUMNS = """
number, at, actor, action, entity_type, entity_id, outcome, request_id, correlation_id,
details::text AS details, prev_hash, hash
"""
_STRETCH = f"""
SELECT {COLUMNS} FROM audit_log WHERE guild_id = $1 AND number > $2 ORDER BY number LIMIT $3
"""  # noqa: S608  # constants only
_HEAD = "SELECT number, hash FROM audit_heads WHERE guild_id = $1"


async def append(tx: Transaction, entries: Sequence[AuditEntry | None]) -> None:
    """Lengthens the chain of the transaction's guild; what is None is passed over.

    The guild's other writers of the audit log wait until this transaction ends: call it late.
    """
    given = [asdict(entry) for entry in entries if entry is not None]
    if given:
        await tx.execute("SELECT audit_append($1::jsonb)", orjson.dumps(given).decode())


async def verify(
    database: Database, guild_id: GuildId, page: int, anchor: Anchor | None = None
) -> Anchor:
    """Checks a guild's whole chain; answers where it ends.

    What is appended meanwhile is looked at as well.

    Args:
        database: of the role ``guild_app``.
        guild_id: whose.
        page: entries in memory at a time.
        anchor: where the chain once stood.

    Raises:
        BrokenChain: it is not as it was written.
    """
    chain = Chain(guild_id, anchor)
    while True:
        async with database.read(guild_id) as tx:  # both of one snapshot
            rows = await tx.fetch(_STRETCH, guild_id, chain.head.number, page)
            head = await tx.fetchrow(_HEAD, guild_id)
        for row in rows:
            chain.add(from_row(row))
        if len(rows) < page:
            chain.end(Anchor(**head) if head else Anchor(0, GENESIS))
            return chain.head


def from_row(row: asyncpg.Record) -> AuditRecord:
    """The entry of a row of `COLUMNS`."""
    return AuditRecord(**row)
