"""Sessions, codes and the deny list in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from actors.audit import entry_by
from actors.errors import Overloaded, VersionConflict
from actors.events import Payload
from actors.identity.sessions.domain import Code, Refresh, Session
from actors.identity.sessions.messages import DenyToken, Revocation, Revoked
from actors.runtime.message import Command, GuildId, Permission
from actors.settings import IdentitySettings
from actors.storage import audit_log, inbox, outbox, revocations
from actors.storage.database import Database, Transaction

_BY_REFRESH = """
SELECT sessions.*, token.digest, token.expires_at AS token_expires_at, token.used_at
FROM refresh_tokens AS token JOIN sessions USING (session_id)
WHERE token.guild_id = $1 AND token.digest = $2
"""
_START = """
INSERT INTO sessions (session_id, guild_id, principal_id, principal_version, client_id,
                      client_version, scopes, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_ADD_REFRESH = """
INSERT INTO refresh_tokens (digest, guild_id, session_id, expires_at) VALUES ($1, $2, $3, $4)
"""
_ADD_CODE = """
INSERT INTO authorization_codes (digest, guild_id, principal_id, principal_version, client_id,
                                 redirect_uri, challenge, scopes, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
# Locks the session, so that of two who use its tokens the second sees what the first has done.
_HOLD = """
SELECT session_id FROM sessions
WHERE guild_id = $1 AND session_id = $2 AND ended_at IS NULL FOR UPDATE
"""
_USE = """
UPDATE refresh_tokens SET used_at = clock_timestamp()
WHERE guild_id = $1 AND digest = $2 AND used_at IS NULL
"""
_REDEEM = """
UPDATE authorization_codes SET session_id = $3
WHERE guild_id = $1 AND digest = $2 AND session_id IS NULL
"""
_END = """
UPDATE sessions SET ended_at = $3 WHERE guild_id = $1 AND session_id = $2 AND ended_at IS NULL
"""
_DENIED = """
SELECT count(*) AS number, coalesce(bool_or(subject = $2), false) AS known,
       extract(epoch FROM min(expires_at) - clock_timestamp())::float8 AS wait_s
FROM revocations
WHERE guild_id = $1 AND kind = 'token' AND expires_at > clock_timestamp()
"""
# The horizon is of the same snapshot as the rows.
_SINCE = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, one.xid::text AS at,
       one.kind, one.subject, one.version, one.expires_at
FROM (SELECT 1) AS always LEFT JOIN revocations_since($1::text::xid8, $2) AS one ON true
ORDER BY one.xid
"""


class PostgresSessionStore:
    """The `SessionStore` and `RevocationStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database, settings: IdentitySettings) -> None:
        self._database = database
        self._kept_s = settings.revocation_kept_s
        self._max_denied = settings.max_denied_tokens

    async def by_refresh(self, guild_id: GuildId, digest: str) -> tuple[Session, Refresh] | None:
        """One row of the token with its session."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_BY_REFRESH, guild_id, digest)
        if row is None:
            return None
        token = Refresh(
            digest=row["digest"], expires_at=row["token_expires_at"], used_at=row["used_at"]
        )
        return _session(row), token

    async def by_code(self, guild_id: GuildId, digest: str) -> tuple[Code, Session | None] | None:
        """The code's row, and that of the session it names."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(
                "SELECT * FROM authorization_codes WHERE guild_id = $1 AND digest = $2",
                guild_id,
                digest,
            )
            if row is None:
                return None
            given = await tx.fetchrow(
                "SELECT * FROM sessions WHERE guild_id = $1 AND session_id = $2",
                guild_id,
                row["session_id"],
            )
        return _code(row), None if given is None else _session(given)

    async def add_code(self, code: Code, *, cause: Command[Any]) -> None:
        """Row and reply."""
        async with self._database.transaction(code.guild_id) as tx:
            await tx.execute(
                _ADD_CODE,
                code.digest,
                code.guild_id,
                code.principal_id,
                code.principal_version,
                code.client_id,
                code.redirect_uri,
                code.challenge,
                sorted(code.scopes),
                code.expires_at,
            )
            await inbox.record(tx, cause, None)

    async def start(
        self,
        session: Session,
        token: Refresh,
        events: Sequence[Payload],
        *,
        code: Code | None,
        cause: Command[Any],
        reply: object,
    ) -> None:
        """Rows, event and reply; the code's row first, for it decides who may."""
        async with self._database.transaction(session.guild_id) as tx:
            if code is not None:
                _expect_one(
                    await tx.execute(_REDEEM, session.guild_id, code.digest, session.session_id)
                )
            await tx.execute(
                _START,
                session.session_id,
                session.guild_id,
                session.principal_id,
                session.principal_version,
                session.client_id,
                session.client_version,
                sorted(session.scopes),
                session.created_at,
                session.expires_at,
            )
            await _add_token(tx, session, token)
            await _append(tx, session, events, cause, before=0)
            await inbox.record(tx, cause, reply)

    async def rotate(
        self, session: Session, used: Refresh, token: Refresh, *, cause: Command[Any], reply: object
    ) -> None:
        """The reply first: who repeats the command waits there, and hears it, and has not lost."""
        async with self._database.transaction(session.guild_id) as tx:
            await inbox.record(tx, cause, reply)
            held = await tx.fetchval(_HOLD, session.guild_id, session.session_id)
            if held is None:
                raise VersionConflict("session", session.session_id)
            _expect_one(await tx.execute(_USE, session.guild_id, used.digest))
            await _add_token(tx, session, token)

    async def end(
        self, session: Session, events: Sequence[Payload], *, cause: Command[Any]
    ) -> None:
        """Row, deny list and event; none where it is the command itself that used the token."""
        async with self._database.transaction(session.guild_id) as tx:
            await inbox.check_new(tx, cause)
            status = await tx.execute(_END, session.guild_id, session.session_id, session.ended_at)
            if status != "UPDATE 1":
                return
            await revocations.add(
                tx, session.guild_id, "session", session.session_id, kept_s=self._kept_s
            )
            await _append(tx, session, events, cause, before=1)

    async def deny(self, command: DenyToken) -> None:
        """Row and audit entry. Those who count at the same moment may exceed by one each."""
        guild_id, token_id = command.context.caller.guild_id, command.token_id
        async with self._database.transaction(guild_id) as tx:
            denied = await tx.fetchrow(_DENIED, guild_id, token_id)
            assert denied is not None  # noqa: S101  # an aggregate always answers
            if denied["known"]:
                return
            if denied["number"] >= self._max_denied:
                raise Overloaded(max(denied["wait_s"], 1.0), "the list of denied tokens")
            await revocations.add(tx, guild_id, "token", token_id, kept_s=self._kept_s)
            await audit_log.append(
                tx, [entry_by(command.context, "token.denied", "token", token_id)]
            )

    async def revoked_since(self, cursor: int, limit: int) -> Revoked:
        """One statement, and one snapshot, of all guilds."""
        rows = await self._database.fetch_across_guilds(_SINCE, str(cursor), limit)
        found = [row for row in rows if row["kind"] is not None]
        more, horizon = len(found) == limit, int(rows[0]["horizon"])
        return Revoked(
            revocations=tuple(
                Revocation(
                    kind=row["kind"],
                    subject=row["subject"],
                    version=row["version"],
                    expires_at=row["expires_at"],
                )
                for row in found
            ),
            cursor=int(found[-1]["at"]) if more else horizon,
            horizon=horizon,
            more=more,
        )


async def _add_token(tx: Transaction, session: Session, token: Refresh) -> None:
    await tx.execute(
        _ADD_REFRESH, token.digest, session.guild_id, session.session_id, token.expires_at
    )


async def _append(
    tx: Transaction, session: Session, events: Sequence[Payload], cause: Command[Any], before: int
) -> None:
    await outbox.append(
        tx,
        cause=cause,
        aggregate_id=session.session_id,
        version_before=before,
        payloads=events,
    )


def _expect_one(status: str) -> None:
    if status != "UPDATE 1":
        raise VersionConflict("token", "")


def _session(row: asyncpg.Record) -> Session:
    return Session(
        session_id=row["session_id"],
        guild_id=GuildId(row["guild_id"]),
        principal_id=row["principal_id"],
        principal_version=row["principal_version"],
        client_id=row["client_id"],
        client_version=row["client_version"],
        scopes=_scopes(row),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
    )


def _code(row: asyncpg.Record) -> Code:
    return Code(
        digest=row["digest"],
        guild_id=GuildId(row["guild_id"]),
        principal_id=row["principal_id"],
        principal_version=row["principal_version"],
        client_id=row["client_id"],
        redirect_uri=row["redirect_uri"],
        challenge=row["challenge"],
        scopes=_scopes(row),
        expires_at=row["expires_at"],
        session_id=row["session_id"],
    )


def _scopes(row: asyncpg.Record) -> frozenset[Permission]:
    return frozenset(Permission(scope) for scope in row["scopes"])
