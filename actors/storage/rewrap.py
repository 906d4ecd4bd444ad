"""After a rotation of ``SECRET_KEY``: stored keys are wrapped under its present key.

The keys themselves stay, so nothing of the log is written anew. When every guild is done, the
former key can leave the ring; once it is destroyed, copies of the database from before, backups
among them, no longer hold a key that anybody could open.
"""

from actors.audit import AuditEntry
from actors.runtime.message import GuildId
from actors.storage import audit_log
from actors.storage.database import Database, Transaction
from actors.storage.vault import Wrapped

_OLD = """
SELECT subject, kid, wrapped_key FROM subject_keys
WHERE guild_id = $1 AND kid <> $2 ORDER BY subject LIMIT $3 FOR UPDATE
"""
_REPLACE = """
UPDATE subject_keys AS known SET kid = new.kid, wrapped_key = new.wrapped_key
FROM unnest($2::text[], $3::text[], $4::bytea[]) AS new(subject, kid, wrapped_key)
WHERE known.guild_id = $1 AND known.subject = new.subject
"""
_OLD_DIGEST_KEY = """
SELECT kid, wrapped_key FROM digest_keys WHERE guild_id = $1 AND kid <> $2 FOR UPDATE
"""
_REPLACE_DIGEST_KEY = "UPDATE digest_keys SET kid = $2, wrapped_key = $3 WHERE guild_id = $1"


async def rewrap(database: Database, guild_id: GuildId, page: int) -> int:
    """Wraps a guild's keys anew; answers how many. Can be repeated, and ended at any time.

    Args:
        database: of the role ``guild_app``; its vault holds the former key of the ring as well.
        guild_id: whose keys.
        page: keys of one transaction.

    Raises:
        BadKeyRing: the ring lacks a key that something is wrapped under.
        BrokenSeal: a stored key is damaged.
    """
    done = 0
    while True:
        async with database.transaction(guild_id) as tx:
            changed = await _digest_key(tx, guild_id) + await _subject_keys(tx, guild_id, page)
            if changed:
                await audit_log.append(tx, [_told(tx.vault.present, changed)])
        done += changed
        if not changed:
            return done


def _told(kid: str, changed: int) -> AuditEntry:
    details = {"kid": kid, "number": changed}
    return AuditEntry(
        action="keys.rewrap", actor="operator", entity_type="secret_key", details=details
    )


async def _subject_keys(tx: Transaction, guild_id: GuildId, page: int) -> int:
    rows = await tx.fetch(_OLD, guild_id, tx.vault.present, page)
    new = [_again(tx, row["kid"], row["wrapped_key"], "subject", guild_id, row["subject"])
           for row in rows]  # fmt: skip
    await tx.execute(
        _REPLACE,
        guild_id,
        [row["subject"] for row in rows],
        [one.kid for one in new],
        [one.box for one in new],
    )
    return len(rows)


async def _digest_key(tx: Transaction, guild_id: GuildId) -> int:
    row = await tx.fetchrow(_OLD_DIGEST_KEY, guild_id, tx.vault.present)
    if row is None:
        return 0
    new = _again(tx, row["kid"], row["wrapped_key"], "digest", guild_id)
    await tx.execute(_REPLACE_DIGEST_KEY, guild_id, *new)
    return 1


def _again(tx: Transaction, kid: str, box: bytes, *whose: str) -> Wrapped:
    return tx.vault.wrap(tx.vault.unwrap(Wrapped(kid, box), *whose), *whose)
