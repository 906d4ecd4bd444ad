"""The deny list of access tokens, written in the transaction of whatever ends them."""

from typing import Literal

from actors.runtime.message import GuildId
from actors.storage.database import Transaction

_ADD = """
INSERT INTO revocations AS known (guild_id, kind, subject, version, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
ON CONFLICT (guild_id, kind, subject) DO UPDATE SET
    version = greatest(known.version, excluded.version),
    expires_at = greatest(known.expires_at, excluded.expires_at),
    xid = pg_current_xact_id()
"""


async def add(
    tx: Transaction,
    guild_id: GuildId,
    kind: Literal["token", "session", "principal"],
    subject: str,
    *,
    version: int = 0,
    kept_s: float,
) -> None:
    """Has tokens refused on every gateway, soon after the commit.

    Args:
        tx: of the guild.
        guild_id: whose.
        kind: whether it is one token, those of a session, or those of a principal.
        subject: its id.
        version: of a principal: tokens that say a lower one are refused.
        kept_s: longer than any token is good.
    """
    await tx.execute(_ADD, guild_id, kind, subject, version, kept_s)
