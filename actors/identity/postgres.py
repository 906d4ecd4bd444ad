"""Users and clients in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from actors.errors import ValidationError, VersionConflict
from actors.events import Payload
from actors.identity.attempts import Lane
from actors.identity.domain import Principal
from actors.identity.messages import Kind, Role
from actors.runtime.message import Command, GuildId, Permission
from actors.settings import IdentitySettings
from actors.storage import inbox, logins, outbox, revocations
from actors.storage.database import Database, Transaction

_COLUMNS = """
SELECT guild_id, principal_id, kind, login, role, serves, scopes, secret_hash, disabled, version,
       created_at, redirect_uris
FROM principals"""
_BY_LOGIN = _COLUMNS + " WHERE guild_id = $1 AND login = $2"
_BY_ID = _COLUMNS + " WHERE guild_id = $1 AND principal_id = $2"
_PAGE = (
    _COLUMNS
    + " WHERE guild_id = $1 AND kind = $2 AND principal_id > $3 ORDER BY principal_id LIMIT $4"
)
_INSERT = """
INSERT INTO principals (guild_id, principal_id, kind, login, role, serves, scopes, secret_hash,
                        disabled, version, created_at, redirect_uris)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_UPDATE = """
UPDATE principals SET role = $3, serves = $4, scopes = $5, secret_hash = $6, disabled = $7,
                      version = $8, updated_at = now()
WHERE guild_id = $1 AND principal_id = $2 AND version = $9
"""


# Times are the server's. A lane whose window is over begins anew; a pause holds until it is over.
_ATTEMPT = """
INSERT INTO sign_in_attempts AS known (lane, failures, began_at, next_at)
VALUES ($1, 1, now(), now() + make_interval(secs => CASE WHEN $2 > 1 THEN 0 ELSE $4 END))
ON CONFLICT (lane) DO UPDATE SET
    failures = CASE WHEN known.began_at + make_interval(secs => $3) <= now()
               THEN 1 ELSE known.failures + 1 END,
    began_at = CASE WHEN known.began_at + make_interval(secs => $3) <= now()
               THEN now() ELSE known.began_at END,
    next_at = now() + make_interval(secs => CASE
        WHEN known.began_at + make_interval(secs => $3) <= now() OR known.failures + 1 < $2 THEN 0
        ELSE least($5, $4 * 2.0 ^ least(known.failures + 1 - $2, 30)) END)
WHERE known.next_at <= now() OR known.began_at + make_interval(secs => $3) <= now()
RETURNING failures
"""
_WAIT = """
SELECT extract(epoch FROM least(next_at, began_at + make_interval(secs => $2)) - now())::float8
FROM sign_in_attempts WHERE lane = $1
"""
_TAKE_BACK = """
UPDATE sign_in_attempts SET failures = greatest(failures - 1, 0), next_at = now() WHERE lane = $1
"""


class PostgresIdentityStore:
    """The `IdentityStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database, settings: IdentitySettings | None = None) -> None:
        self._database = database
        self._kept_s = (settings or IdentitySettings()).revocation_kept_s

    async def guild_of(self, login: str) -> GuildId | None:
        """By its unique name in all guilds."""
        return await logins.guild_of(self._database, login)

    async def by_login(self, guild_id: GuildId, login: str) -> Principal | None:
        """One row by its unique name."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_BY_LOGIN, guild_id, login)
        return None if row is None else _principal(row)

    async def by_id(self, guild_id: GuildId, principal_id: str) -> Principal | None:
        """One row by its key."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_BY_ID, guild_id, principal_id)
        return None if row is None else _principal(row)

    async def page(
        self, guild_id: GuildId, kind: Kind, after: str, limit: int
    ) -> Sequence[Principal]:
        """Rows by key."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(_PAGE, guild_id, kind.value, after, limit)
        return [_principal(row) for row in rows]

    async def commit(
        self, principal: Principal, events: Sequence[Payload], *, cause: Command[Any], reply: object
    ) -> None:
        """Row, name, events and reply in one transaction."""
        before = principal.version - len(events)
        async with self._database.transaction(principal.guild_id) as tx:
            if before == 0:
                await _insert(tx, principal)
            elif events:
                await _update(tx, principal, before)
                await revocations.add(
                    tx,
                    principal.guild_id,
                    "principal",
                    principal.principal_id,
                    version=principal.version,
                    kept_s=self._kept_s,
                )
            await outbox.append(
                tx,
                cause=cause,
                aggregate_id=principal.principal_id,
                version_before=before,
                payloads=events,
            )
            await inbox.record(tx, cause, reply)

    async def attempt_in(self, lanes: Sequence[Lane]) -> float:
        """One row a lane; each is decided by its own statement."""
        for place, lane in enumerate(lanes):
            async with self._database.across_guilds() as tx:
                counted = await tx.fetchval(
                    _ATTEMPT, lane.key, lane.free, lane.window_s, lane.pause_s, lane.pause_max_s
                )
                if counted is None:
                    wait_s: float | None = await tx.fetchval(_WAIT, lane.key, lane.window_s)
            if counted is None:
                await self.take_back_in(lanes[:place])
                return max(wait_s or 0.0, 0.001)
        return 0.0

    async def succeeded_in(self, lanes: Sequence[Lane]) -> None:
        """Deletes the row, or counts one down."""
        for lane in lanes:
            async with self._database.across_guilds() as tx:
                if lane.clears:
                    await tx.execute("DELETE FROM sign_in_attempts WHERE lane = $1", lane.key)
                else:
                    await tx.execute(_TAKE_BACK, lane.key)

    async def take_back_in(self, lanes: Sequence[Lane]) -> None:
        """Counts one down."""
        for lane in lanes:
            async with self._database.across_guilds() as tx:
                await tx.execute(_TAKE_BACK, lane.key)


async def _insert(tx: Transaction, principal: Principal) -> None:
    try:
        await tx.execute(
            "INSERT INTO logins (login, guild_id) VALUES ($1, $2)",
            principal.login,
            principal.guild_id,
        )
    except asyncpg.UniqueViolationError as error:
        raise ValidationError("login", "is taken") from error
    await tx.execute(
        _INSERT,
        principal.guild_id,
        principal.principal_id,
        principal.kind.value,
        principal.login,
        principal.role,
        principal.serves,
        sorted(principal.scopes),
        principal.secret_hash,
        principal.disabled,
        principal.version,
        principal.created_at,
        list(principal.redirect_uris),
    )


async def _update(tx: Transaction, principal: Principal, version_before: int) -> None:
    status = await tx.execute(
        _UPDATE,
        principal.guild_id,
        principal.principal_id,
        principal.role,
        principal.serves,
        sorted(principal.scopes),
        principal.secret_hash,
        principal.disabled,
        principal.version,
        version_before,
    )
    if status != "UPDATE 1":
        raise VersionConflict("principal", principal.principal_id)


def _principal(row: asyncpg.Record) -> Principal:
    return Principal(
        principal_id=row["principal_id"],
        guild_id=GuildId(row["guild_id"]),
        kind=Kind(row["kind"]),
        login=row["login"],
        role=None if row["role"] is None else Role(row["role"]),
        serves=None if row["serves"] is None else Permission(row["serves"]),
        scopes=frozenset(Permission(scope) for scope in row["scopes"]),
        secret_hash=row["secret_hash"],
        disabled=row["disabled"],
        version=row["version"],
        created_at=row["created_at"],
        redirect_uris=tuple(row["redirect_uris"]),
    )
