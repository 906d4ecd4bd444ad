from datetime import datetime, timedelta

import pytest

from actors.bus.messages import Account, FindAccounts, ListAudit
from actors.bus.sage.auditing import AuditSage
from actors.bus.store import AuditStore
from actors.errors import NotAuthorized
from actors.runtime.message import Permission
from tests.fixtures.audit_contract import AuditStoreContract
from tests.fixtures.audit_memory import MemoryAuditStore
from tests.fixtures.bus_builders import GUILD, NOON, context


class TestMemoryAuditStore(AuditStoreContract):
    @pytest.fixture
    def store(self) -> AuditStore:
        ticks = iter(range(1_000))

        def now() -> datetime:
            return NOON + timedelta(seconds=next(ticks))

        return MemoryAuditStore(now)


async def test_only_administrators_read_it() -> None:
    with pytest.raises(NotAuthorized):
        await AuditSage(MemoryAuditStore()).page(
            ListAudit(context=context(GUILD, Permission.DELETE))
        )


async def test_accounts_are_answered_in_the_order_of_the_logins() -> None:
    store = MemoryAuditStore()
    store.accounts["anna"] = account = Account(guild_id=GUILD, principal_id="user_1")

    found = await AuditSage(store).accounts(
        FindAccounts(context=context(GUILD), logins=("nobody", "anna"))
    )

    assert found == (None, account)
