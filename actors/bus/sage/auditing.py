"""The audit log: administrators read it, the gateway adds what no transaction tells."""

from actors import checks
from actors.bus.messages import Account, AuditPage, FindAccounts, ListAudit, RecordAudit
from actors.bus.store import AuditStore
from actors.errors import NotAuthorized
from actors.runtime.message import Handlers, Permission


class AuditSage:
    """Holds no state."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            ListAudit: self.page,
            RecordAudit: self.record,
            FindAccounts: self.accounts,
        }

    async def page(self, query: ListAudit) -> AuditPage:
        """Some entries, the newest first.

        Raises:
            NotAuthorized: the caller is no administrator.
        """
        if not query.context.caller.may(Permission.ADMIN):
            raise NotAuthorized(Permission.ADMIN)
        checks.page_size(query.limit)
        checks.sought("actor", query.actor)
        checks.sought("action", query.action)
        return await self._store.page(query)

    async def record(self, command: RecordAudit) -> None:
        """Adds entries; a repeat adds nothing."""
        await self._store.record(command)

    async def accounts(self, query: FindAccounts) -> tuple[Account | None, ...]:
        """Whose logins these are."""
        return tuple([await self._store.account(login) for login in query.logins])
