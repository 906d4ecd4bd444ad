"""The audit log in PostgreSQL, as its guild sees it."""

from actors import paging
from actors.bus.messages import Account, AuditPage, ListAudit, RecordAudit
from actors.storage import audit_log, inbox, logins
from actors.storage.database import Database

_PAGE = f"""
SELECT {audit_log.COLUMNS} FROM audit_log
WHERE guild_id = $1 AND ($2::bigint IS NULL OR number < $2)
  AND ($3::text IS NULL OR actor = $3) AND ($4::text IS NULL OR action = $4)
  AND ($5::text IS NULL OR outcome = $5)
  AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
ORDER BY number DESC LIMIT $8
"""  # noqa: S608  # constants only


class PostgresAuditStore:
    """The `AuditStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: ListAudit) -> AuditPage:
        """Keyset paging, backwards along the primary key."""
        guild_id = query.context.caller.guild_id
        before = None if query.cursor is None else paging.number(*paging.decode(query.cursor, 1))
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                _PAGE,
                guild_id,
                before,
                query.actor,
                query.action,
                query.outcome,
                query.since,
                query.until,
                query.limit + 1,
            )
        entries = tuple(audit_log.from_row(row) for row in rows[: query.limit])
        more = len(rows) > query.limit
        return AuditPage(
            entries=entries, next_cursor=paging.encode(str(entries[-1].number)) if more else None
        )

    async def record(self, command: RecordAudit) -> None:
        """Entries and reply in one transaction."""
        async with self._database.transaction(command.context.caller.guild_id) as tx:
            await inbox.record(tx, command, None)
            await audit_log.append(tx, command.entries)

    async def account(self, login: str) -> Account | None:
        """The guild first, then the id in it."""
        guild_id = await logins.guild_of(self._database, login)
        if guild_id is None:
            return None
        async with self._database.read(guild_id) as tx:
            principal_id = await tx.fetchval(
                "SELECT principal_id FROM principals WHERE guild_id = $1 AND login = $2",
                guild_id,
                login,
            )
        return Account(guild_id=guild_id, principal_id=principal_id)
