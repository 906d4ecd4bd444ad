"""Keys of data subjects: one each, random, wrapped under ``SECRET_KEY``, gone when erased.

The log knows a data subject by a digest, made with a key of its guild. Who publishes holds the row
of the key until the commit, so an erasure and a publication of the same subject have an order:
nothing is acknowledged that was sealed under a key which was destroyed already.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import asyncpg
import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.errors import DependencyUnavailable
from actors.key_ring import BadKeyRing
from actors.runtime.message import GuildId
from actors.storage import seals
from actors.storage.database import Transaction
from actors.storage.seals import BrokenSeal
from actors.storage.vault import Lost, SubjectKey, Vault, Whose, Wrapped

_log = structlog.get_logger("elders_guild.sealing")

_DIGEST_KEY = "SELECT kid, wrapped_key FROM digest_keys WHERE guild_id = $1"
_ADD_DIGEST_KEY = """
INSERT INTO digest_keys (guild_id, kid, wrapped_key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
# In one order everywhere: two who need the same keys wait for each other, and not in a ring.
_HOLD = """
SELECT subject, kid, wrapped_key FROM subject_keys
WHERE guild_id = $1 AND subject = ANY ($2::text[]) ORDER BY subject FOR SHARE
"""
_ADD = """
INSERT INTO subject_keys (guild_id, subject, kid, wrapped_key)
SELECT $1, subject, kid, wrapped_key
FROM unnest($2::text[], $3::text[], $4::bytea[]) AS new(subject, kid, wrapped_key)
ORDER BY subject ON CONFLICT DO NOTHING
"""
_FIND = """
SELECT guild_id, subject, kid, wrapped_key FROM subject_keys
JOIN unnest($1::text[], $2::text[]) AS wanted(guild_id, subject) USING (guild_id, subject)
"""
# Also where there never was a key: what is published for this subject from now on is refused.
_DESTROY = """
INSERT INTO subject_keys AS known (guild_id, subject, erased_at, erased_by)
VALUES ($1, $2, date_trunc('milliseconds', clock_timestamp()), $3)
ON CONFLICT (guild_id, subject) DO UPDATE
SET kid = NULL, wrapped_key = NULL, erased_at = excluded.erased_at, erased_by = excluded.erased_by
WHERE known.erased_at IS NULL
RETURNING erased_at
"""
_DESTROYED = "SELECT erased_at FROM subject_keys WHERE guild_id = $1 AND subject = $2"

ERASED = "was erased: nothing is kept of it any more"
"""Why nothing is published for a data subject."""

_NO_KEY: SubjectKey = Lost("there is no key of its data subject")


class Destroyed(NamedTuple):
    """What became of a subject's key; ``first`` is false where it was destroyed before."""

    digest: str
    erased_at: datetime
    first: bool


class Sealing(NamedTuple):
    """With what a data subject's payloads are sealed; ``key`` is None where it was erased."""

    digest: str
    key: AESGCM | None


async def hold(tx: Transaction, guild_id: GuildId, subjects: Iterable[str]) -> dict[str, Sealing]:
    """Keys to seal with, made where there are none, held until the transaction ends.

    Args:
        tx: of the guild; the one that writes what is sealed.
        guild_id: whose data subjects.
        subjects: their names.

    Raises:
        DependencyUnavailable: ``SECRET_KEY`` is not set, or lacks the key that theirs are wrapped
            under.
    """
    digests = await digests_of(tx, guild_id, subjects)
    wanted = sorted(digests.values())
    found = await tx.fetch(_HOLD, guild_id, wanted)
    if len(found) < len(wanted):
        missing = sorted(set(wanted) - {row["subject"] for row in found})
        with _needing_the_ring():
            new = [tx.vault.wrap(seals.new_key(), "subject", guild_id, one) for one in missing]
        kids, boxes = [one.kid for one in new], [one.box for one in new]
        await tx.execute(_ADD, guild_id, missing, kids, boxes)
        found = await tx.fetch(_HOLD, guild_id, wanted)  # perhaps somebody else's was first
    with _needing_the_ring():
        keys = {row["subject"]: _usable(_key(tx, guild_id, row)) for row in found}
    return {name: Sealing(digest, keys[digest]) for name, digest in digests.items()}


async def keys_of(tx: Transaction, rows: Sequence[asyncpg.Record]) -> Mapping[Whose, SubjectKey]:
    """What the sealed ones among these lines of the log are read with; asks once, or not at all."""
    wanted = {(row["guild_id"], row["sealed_for"]) for row in rows if row["sealed_for"] is not None}
    return await keys(tx, wanted) if wanted else {}


def recalled(vault: Vault, wanted: Iterable[Whose]) -> dict[Whose, SubjectKey]:
    """Those of the keys that are remembered."""
    known = ((whose, vault.recall(whose)) for whose in wanted)
    return {whose: one[0] for whose, one in known if one is not None}


async def keys(tx: Transaction, wanted: Collection[Whose]) -> dict[Whose, SubjectKey]:
    """Keys to read with, remembered for ``log.key_cache_s``."""
    known = recalled(tx.vault, wanted)
    unknown = [whose for whose in wanted if whose not in known]
    found = dict.fromkeys(unknown, _NO_KEY) | known
    if unknown:
        guilds, digests = zip(*unknown, strict=True)
        for row in await tx.fetch(_FIND, guilds, digests):
            whose = row["guild_id"], row["subject"]
            found[whose] = key = _key(tx, row["guild_id"], row)
            if not isinstance(key, Lost):
                tx.vault.remember(whose, key, tx.began)
    return found


async def destroy(tx: Transaction, guild_id: GuildId, subject: str, by: str) -> Destroyed:
    """Destroys the key of a data subject; a repeat answers when it was done.

    Waits for those who publish for it right now.

    Args:
        tx: of the guild.
        guild_id: whose data subject.
        subject: its name.
        by: who asks for it.

    Raises:
        DependencyUnavailable: ``SECRET_KEY`` does not serve; nothing was destroyed.
    """
    digest = (await digests_of(tx, guild_id, [subject]))[subject]
    erased_at = await tx.fetchval(_DESTROY, guild_id, digest, by)
    if erased_at is not None:
        return Destroyed(digest, erased_at, first=True)
    return Destroyed(digest, await tx.fetchval(_DESTROYED, guild_id, digest), first=False)


async def digests_of(tx: Transaction, guild_id: GuildId, names: Iterable[str]) -> dict[str, str]:
    """Under which digest each data subject is known.

    Raises:
        DependencyUnavailable: ``SECRET_KEY`` is not set, or lacks the key that was used.
    """
    key = tx.vault.digest_key(guild_id)
    if key is None:
        with _needing_the_ring():
            key = await _digest_key(tx, guild_id)
    return {name: seals.digest(key, name) for name in names}


async def _digest_key(tx: Transaction, guild_id: GuildId) -> bytes:
    row = await tx.fetchrow(_DIGEST_KEY, guild_id)
    if row is None:
        new = tx.vault.wrap(seals.new_key(), "digest", guild_id)
        await tx.execute(_ADD_DIGEST_KEY, guild_id, *new)
        # Remembered by the next who asks: this transaction may yet be rolled back.
        row = await tx.fetchrow(_DIGEST_KEY, guild_id)
        assert row is not None  # noqa: S101  # ours, or that of who was first
        return tx.vault.unwrap(Wrapped(row["kid"], row["wrapped_key"]), "digest", guild_id)
    key = tx.vault.unwrap(Wrapped(row["kid"], row["wrapped_key"]), "digest", guild_id)
    tx.vault.remember_digest_key(guild_id, key)
    return key


def _key(tx: Transaction, guild_id: str, row: asyncpg.Record) -> SubjectKey:
    if row["wrapped_key"] is None:
        return None
    wrapped = Wrapped(row["kid"], row["wrapped_key"])
    return tx.vault.opened(wrapped, "subject", guild_id, row["subject"])


@contextmanager
def _needing_the_ring() -> Iterator[None]:
    """A ring that does not serve is mended by who operates this: callers may come again."""
    try:
        yield
    except (BadKeyRing, BrokenSeal) as error:
        _log.error("secret_key_unusable", reason=str(error))
        raise DependencyUnavailable("SECRET_KEY") from error


def _usable(key: SubjectKey) -> AESGCM | None:
    if isinstance(key, Lost):
        raise BadKeyRing(key.reason)
    return key
