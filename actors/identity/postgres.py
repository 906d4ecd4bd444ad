"""Users and clients in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from actors.errors import ValidationError, VersionConflict
from actors.events import Payload
from actors.identity.domain import Principal
from actors.identity.messages import Kind, Role
from actors.runtime.message import Command, GuildId, Permission
from actors.storage import inbox, outbox
from actors.storage.database import Database, Transaction

_SELECT = """
SELECT guild_id, principal_id, kind, login, role, serves, scopes, secret_hash, disabled, version,
       created_at
FROM principals WHERE guild_id = $1 AND login = $2
"""
_INSERT = """
INSERT INTO principals (guild_id, principal_id, kind, login, role, serves, scopes, secret_hash,
                        disabled, version, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
_UPDATE = """
UPDATE principals SET role = $3, serves = $4, scopes = $5, secret_hash = $6, disabled = $7,
                      version = $8, updated_at = now()
WHERE guild_id = $1 AND principal_id = $2 AND version = $9
"""


class PostgresIdentityStore:
    """The `IdentityStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def guild_of(self, login: str) -> GuildId | None:
        """Asks the one function that sees the logins of every guild."""
        async with self._database.across_guilds() as tx:
            found = await tx.fetchval("SELECT guild_of_login($1)", login)
        return None if found is None else GuildId(found)

    async def by_login(self, guild_id: GuildId, login: str) -> Principal | None:
        """One row by its unique name."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(_SELECT, guild_id, login)
        return None if row is None else _principal(row)

    async def commit(
        self, principal: Principal, events: Sequence[Payload], *, cause: Command[Any], reply: object
    ) -> None:
        """Row, name, events and reply in one transaction."""
        before = principal.version - len(events)
        async with self._database.transaction(principal.guild_id) as tx:
            if before == 0:
                await _insert(tx, principal)
            else:
                await _update(tx, principal, before)
            await outbox.append(
                tx,
                cause=cause,
                aggregate_id=principal.principal_id,
                version_before=before,
                payloads=events,
            )
            await inbox.record(tx, cause, reply)


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
    )
