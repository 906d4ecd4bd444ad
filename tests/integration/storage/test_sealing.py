"""Sealed lines of the log: what opens them, what must not, and a rotation of the ring."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from actors import clock
from actors.errors import ValidationError
from actors.events import Payload, PrincipalCreated
from actors.key_ring import BadKeyRing
from actors.runtime.message import GuildId
from actors.storage import outbox, sealing
from actors.storage.database import Database
from actors.storage.frontier import Frontier
from actors.storage.log import BEGINNING, LogReader, of_correlation
from actors.storage.rewrap import rewrap
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SECRET_KEY, happened, new_guild, new_vault, note, opened

pytestmark = pytest.mark.integration

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

OLD = f'[{{"kid": "2026", "key": "{"o" * 32}"}}]'
BOTH = f'[{{"kid": "2027", "key": "{"n" * 32}"}}, {{"kid": "2026", "key": "{"o" * 32}"}}]'
NEW = f'[{{"kid": "2027", "key": "{"n" * 32}"}}]'


def joined(kind: str = "user", principal_id: str = "user_1") -> PrincipalCreated:
    return PrincipalCreated(
        principal_id=principal_id, kind=kind, login="person@example.test", role="elder"
    )


async def publish(
    database: Database, guild: GuildId, *payloads: Payload, aggregate_id: str | None = None
) -> None:
    async with database.transaction(guild) as tx:
        await outbox.append(
            tx,
            cause=note(guild),
            aggregate_id=aggregate_id or clock.new_id("any"),
            version_before=0,
            payloads=payloads,
        )


@pytest.fixture
async def admin(fresh_database: PreparedDatabase) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(fresh_database.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def one(fresh_database: PreparedDatabase) -> GuildId:
    return await new_guild(fresh_database)


@pytest.fixture
async def two(fresh_database: PreparedDatabase) -> GuildId:
    return await new_guild(fresh_database)


@pytest.fixture
async def sages(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    async with opened(fresh_database.app_url) as database:
        yield database


@pytest.fixture
async def across(fresh_database: PreparedDatabase) -> AsyncIterator[Database]:
    async with opened(fresh_database.log_url) as database:
        yield database


async def reasons(across: Database) -> list[str]:
    (page,) = await LogReader(across).advance([Frontier.at(BEGINNING)], 100)
    return [damaged.reason for damaged in page.unreadable]


async def test_a_persons_login_is_sealed_in_the_log_and_other_payloads_are_not(
    sages: Database, across: Database, one: GuildId, admin: Connection
) -> None:
    payloads = (happened("inc_1"), joined(), joined("client", "client_1"))

    await publish(sages, one, *payloads)

    rows = await admin.fetch("SELECT data, sealed_for IS NULL AS clear FROM events ORDER BY seq")
    assert [row["clear"] for row in rows] == [True, False, True]
    assert "person" not in rows[1]["data"]
    assert [event.payload for event in await LogReader(across).read(BEGINNING, 9)] == list(payloads)
    assert len(await of_correlation(sages, one, "cor_1", 9)) == 3


async def test_an_erased_persons_login_is_gone_and_never_told_again(
    sages: Database, across: Database, one: GuildId
) -> None:
    await publish(sages, one, joined(), happened("inc_1"))

    async with sages.transaction(one) as tx:
        await sealing.destroy(tx, one, "user_1", "admin")

    assert [event.payload for event in await LogReader(across).read(BEGINNING, 9)] == [
        happened("inc_1")
    ]
    assert [event.payload for event in await of_correlation(sages, one, "cor_1", 9)] == [
        happened("inc_1")
    ]
    assert await reasons(across) == []
    with pytest.raises(ValidationError, match="was erased"):
        await publish(sages, one, joined())


async def test_a_sealed_text_that_was_copied_to_another_line_or_guild_is_refused(
    sages: Database,
    across: Database,
    one: GuildId,
    two: GuildId,
    admin: Connection,
) -> None:
    await publish(sages, one, joined())
    await publish(sages, two, joined())
    copied = (
        "INSERT INTO events (guild_id, event_id, source, type, aggregate_id, aggregate_version,"
        " priority, occurred_at, correlation_id, principal_id, sealed_for, data)"
        " SELECT {guild}, {event}, source, {type}, aggregate_id, 2, priority, occurred_at,"
        " correlation_id, principal_id, {digest}, data FROM events WHERE guild_id = $1 LIMIT 1"
    )
    same = {"guild": "$1", "event": "event_id", "type": "type", "digest": "sealed_for"}
    moved = (
        {"event": "'evt_other'"},
        {"guild": f"'{two}'"},
        {"type": "'custom.note'"},
        {
            "guild": f"'{two}'",
            "digest": f"(SELECT subject FROM subject_keys WHERE guild_id = '{two}')",  # noqa: S608
        },
    )
    for change in moved:
        await admin.execute(copied.format(**{**same, **change}), one)

    found = await reasons(across)

    assert len(found) == len(moved)
    assert all(reason.startswith("sealed: ") for reason in found)
    assert len(await LogReader(across).read(BEGINNING, 9)) == 2


async def test_a_key_that_was_copied_to_another_person_or_guild_opens_nothing(
    sages: Database,
    across: Database,
    one: GuildId,
    two: GuildId,
    admin: Connection,
) -> None:
    await publish(sages, one, joined())
    await publish(sages, two, joined())

    await admin.execute(
        "UPDATE subject_keys SET wrapped_key ="
        " (SELECT wrapped_key FROM subject_keys WHERE guild_id = $1) WHERE guild_id = $2",
        one,
        two,
    )

    (reason,) = await reasons(across)
    assert reason.startswith("sealed: the stored key is damaged")


async def test_a_key_that_is_missing_and_was_not_erased_is_an_error_and_not_silence(
    fresh_database: PreparedDatabase,
    sages: Database,
    across: Database,
    one: GuildId,
    admin: Connection,
) -> None:
    await publish(sages, one, joined())

    async with opened(fresh_database.log_url, vault=new_vault("another secret " * 3)) as wrong:
        without_ring = await reasons(wrong)
    await admin.execute("DELETE FROM subject_keys")
    without_key = await reasons(across)

    assert without_ring == [f"sealed: SECRET_KEY holds no key {new_vault().present}"]
    assert without_key == ["sealed: there is no key of its data subject"]


async def test_what_is_sealed_and_cannot_be_read_is_not_quoted_in_the_reason(
    sages: Database, across: Database, one: GuildId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.events.encode", lambda _: '{"login": {"marker": 1}}')
    await publish(sages, one, joined())
    monkeypatch.undo()

    (reason,) = await reasons(across)

    assert reason.startswith("unreadable: ")
    assert "login" not in reason
    assert "marker" not in reason


async def test_after_a_rotation_the_former_key_can_leave_the_ring(
    fresh_database: PreparedDatabase, one: GuildId, two: GuildId
) -> None:
    url, log_url = fresh_database.app_url, fresh_database.log_url
    async with opened(url, vault=new_vault(OLD)) as before:
        for guild in (one, two):
            await publish(before, guild, *(joined(principal_id=f"user_{n}") for n in range(5)))
        async with before.transaction(one) as tx:
            await sealing.destroy(tx, one, "user_0", "admin")

    async with opened(url, vault=new_vault(BOTH)) as rotating:
        done = [await rewrap(rotating, guild, 2) for guild in (one, two)]
        again = [await rewrap(rotating, guild, 2) for guild in (one, two)]

    async with opened(log_url, vault=new_vault(NEW)) as after, opened(log_url) as strange:
        read = await LogReader(after).read(BEGINNING, 20)
        refused = await reasons(strange)
    async with opened(url, vault=new_vault(NEW)) as sages, sages.transaction(one) as tx:
        known = [(await sealing.destroy(tx, one, f"user_{n}", "admin")).first for n in range(2)]
    assert (done, again) == ([5, 6], [0, 0])
    assert len(read) == 9
    assert set(refused) == {"sealed: SECRET_KEY holds no key 2027"}
    assert known == [False, True]


async def test_a_rotation_without_the_former_key_changes_nothing(
    fresh_database: PreparedDatabase, sages: Database, across: Database, one: GuildId
) -> None:
    await publish(sages, one, joined())

    async with opened(fresh_database.app_url, vault=new_vault(NEW)) as rotating:
        with pytest.raises(BadKeyRing):
            await rewrap(rotating, one, 2)

    assert len(await LogReader(across).read(BEGINNING, 9)) == 1
    assert SECRET_KEY not in repr(sages.vault)
