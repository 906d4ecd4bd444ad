from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from actors.audit import AuditRecord
from actors.bus.messages import (
    Account,
    DiscardDeadLetters,
    EraseSubject,
    RedriveDeadLetters,
)
from actors.bus.postgres.auditing import PostgresAuditStore
from actors.bus.postgres.erasure import PostgresErasureStore
from actors.bus.postgres.letters import PostgresDeadLetterStore
from actors.bus.store import AuditStore
from actors.storage.database import Database
from cluster import admin
from tests.fixtures.audit_contract import AuditStoreContract, asked
from tests.fixtures.bus_builders import GUILD, OTHER_GUILD, context, key
from tests.fixtures.gateway import settings
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SECRET_KEY, opened, run_as_owner

pytestmark = pytest.mark.integration


@pytest.fixture
async def database(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    for guild in (GUILD, OTHER_GUILD):
        await run_as_owner(
            fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", guild
        )
    async with opened(fresh_database.app_url) as database:
        yield database


class TestPostgresAuditStore(AuditStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> AuditStore:
        return PostgresAuditStore(database)


async def told(database: Database) -> list[AuditRecord]:
    page = await PostgresAuditStore(database).page(asked())
    return list(reversed(page.entries))


async def test_erasing_redriving_and_discarding_are_told_once_each(database: Database) -> None:
    letters = PostgresDeadLetterStore(database)
    erase = EraseSubject(context=context(GUILD), command_id=key(), subject="anna@example.test")
    redrive = RedriveDeadLetters(context=context(GUILD), command_id=key(), subscription="billing")
    discard = DiscardDeadLetters(
        context=context(GUILD), command_id=key(), subscription="billing", event_ids=("evt_1",)
    )

    erased = await PostgresErasureStore(database).erase(erase)
    await PostgresErasureStore(database).erase(erase)
    await letters.redrive("billing", (), 10, cause=redrive)
    await letters.discard("billing", ("evt_1",), cause=discard)

    entries = await told(database)
    assert [(one.action, one.entity_type, one.entity_id) for one in entries] == [
        ("system.subject.erased", "subject", erased.subject_digest),
        ("deadletters.redrive", "subscription", "billing"),
        ("deadletters.discard", "subscription", "billing"),
    ]
    assert "anna" not in str(entries)


async def test_what_the_host_does_to_users_and_clients_is_told_and_logins_are_found(
    fresh_database: PreparedDatabase,
) -> None:
    config = settings().model_copy(update={"secret_key": SecretStr(SECRET_KEY)})
    first = await admin.ensure_first_guild(
        fresh_database.owner_url, fresh_database.app_url, config=config
    )
    assert first is not None

    async with opened(fresh_database.app_url) as database:
        store = PostgresAuditStore(database)
        page = await store.page(asked(first.guild_id))
        account = await store.account(first.admin_login)

    user, client = page.entries
    assert {user.action, client.action} == {"user.created"}
    assert {user.actor, client.actor} == {"operator"}
    assert client.entity_id == first.alertmanager_client_id
    assert account == Account(guild_id=first.guild_id, principal_id=user.entity_id)
    assert first.admin_password not in str(page)
