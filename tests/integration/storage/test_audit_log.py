"""The chain of the audit log on a real PostgreSQL, and what it tells of who tampers with it."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from actors.audit import Anchor, AuditEntry, AuditOutcome, BrokenChain
from actors.errors import VersionConflict
from actors.events import DocumentDeleted, PrincipalUpdated, TaskDeleted
from actors.runtime.message import GuildId
from actors.storage import audit_log, effects, outbox
from actors.storage.database import Database
from actors.storage.effects import Effect, Entry
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import append, note, opened

pytestmark = pytest.mark.integration

PAGE = 4
"""Smaller than any chain here, so that each is read in several pieces."""


def entry(actor: str, **fields: object) -> AuditEntry:
    given: dict[str, object] = {"action": "test.done", "request_id": "req_1", **fields}
    return AuditEntry(actor=actor, **given)  # type: ignore[arg-type]  # whatever a test says


async def fill(app: Database, guild: GuildId, count: int = 10) -> None:
    for number in range(count):
        async with app.transaction(guild) as tx:
            await audit_log.append(tx, [entry(f"user_{number}")])


async def tamper(postgres: PreparedDatabase, *statements: str) -> None:
    """As somebody who owns the server: no trigger and no policy holds them."""
    connection = await asyncpg.connect(postgres.admin_url)
    try:
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_entries_that_nobody_touched_make_a_whole_chain(
    app: Database, guild: GuildId, other_guild: GuildId
) -> None:
    await fill(app, guild, 10)
    await fill(app, other_guild, 1)
    said = 'ünïcode, "quotes", \\ and a \n line'
    async with app.transaction(guild) as tx:
        details = {"said": said, "number": 1.50, "list": [None, True]}
        last = entry(said, entity_type="x", entity_id="1", details=details)
        await audit_log.append(tx, [last, None, entry("u", outcome=AuditOutcome.DENIED)])

    head = await audit_log.verify(app, guild, PAGE)

    assert head.number == 12
    assert await audit_log.verify(app, guild, PAGE, head) == head
    assert (await audit_log.verify(app, other_guild, PAGE)).number == 1


async def test_a_guild_without_entries_has_a_chain_of_none(app: Database, guild: GuildId) -> None:
    head = await audit_log.verify(app, guild, PAGE)

    assert head.number == 0


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'user_8'",
        "action = 'test.undone'",
        "outcome = 'failure'",
        "at = at + interval '1 microsecond'",
        "details = '{\"a\": 1}'",
        "request_id = '', correlation_id = request_id",
        "entity_type = 'a'",
        "entity_id = 'a'",
        "hash = repeat('a', 64)",
        "prev_hash = repeat('a', 64)",
    ],
)
async def test_one_changed_row_is_found(
    app: Database, guild: GuildId, postgres: PreparedDatabase, change: str
) -> None:
    await fill(app, guild)

    await tamper(
        postgres,
        f"UPDATE audit_log SET {change} WHERE guild_id = '{guild}' AND number = 7",  # noqa: S608  # ours
    )

    with pytest.raises(BrokenChain) as broken:
        await audit_log.verify(app, guild, PAGE)
    assert broken.value.number == 7


async def test_one_removed_row_is_found(
    app: Database, guild: GuildId, postgres: PreparedDatabase
) -> None:
    await fill(app, guild)

    await tamper(postgres, f"DELETE FROM audit_log WHERE guild_id = '{guild}' AND number = 5")  # noqa: S608  # ours

    with pytest.raises(BrokenChain, match="entry 5 is missing"):
        await audit_log.verify(app, guild, PAGE)


async def test_two_swapped_rows_are_found(
    app: Database, guild: GuildId, postgres: PreparedDatabase
) -> None:
    await fill(app, guild)
    of = f"WHERE guild_id = '{guild}' AND number ="

    await tamper(
        postgres,
        f"UPDATE audit_log SET number = 99 {of} 3",  # noqa: S608  # ours
        f"UPDATE audit_log SET number = 3 {of} 4",  # noqa: S608  # ours
        f"UPDATE audit_log SET number = 4 {of} 99",  # noqa: S608  # ours
    )

    with pytest.raises(BrokenChain) as broken:
        await audit_log.verify(app, guild, PAGE)
    assert broken.value.number == 3


async def test_a_tail_that_was_cut_off_is_found(
    app: Database, guild: GuildId, postgres: PreparedDatabase
) -> None:
    await fill(app, guild)

    await tamper(postgres, f"DELETE FROM audit_log WHERE guild_id = '{guild}' AND number > 8")  # noqa: S608  # ours

    with pytest.raises(BrokenChain, match="entry 9 is missing"):
        await audit_log.verify(app, guild, PAGE)


async def test_a_tail_cut_off_together_with_the_head_is_found_with_an_anchor(
    app: Database, guild: GuildId, postgres: PreparedDatabase
) -> None:
    await fill(app, guild)
    anchor = await audit_log.verify(app, guild, PAGE)

    await tamper(
        postgres,
        f"DELETE FROM audit_log WHERE guild_id = '{guild}' AND number > 8",  # noqa: S608  # ours
        "UPDATE audit_heads AS head SET number = 8, hash = line.hash FROM audit_log AS line"  # noqa: S608  # ours
        f" WHERE (line.guild_id, line.number) = (head.guild_id, 8) AND head.guild_id = '{guild}'",
    )

    assert (await audit_log.verify(app, guild, PAGE)).number == 8
    with pytest.raises(BrokenChain, match="entry 9 is missing: the anchor is entry 10"):
        await audit_log.verify(app, guild, PAGE, anchor)
    await fill(app, guild)
    with pytest.raises(BrokenChain, match="entry 10 is not the one of the anchor"):
        await audit_log.verify(app, guild, PAGE, anchor)
    with pytest.raises(BrokenChain, match="anchor"):
        await audit_log.verify(app, guild, PAGE, Anchor(3, anchor.hash))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "INSERT INTO audit_log SELECT * FROM audit_log",
        "UPDATE audit_heads SET number = 0",
        "DELETE FROM audit_heads",
        "ALTER TABLE audit_log DISABLE TRIGGER only_grows",
    ],
)
async def test_the_sages_role_cannot_change_what_is_written(
    app: Database, guild: GuildId, statement: str
) -> None:
    await fill(app, guild, 1)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with app.transaction(guild) as tx:
            await tx.execute(statement)


@pytest.mark.parametrize("url", ["owner_url", "admin_url"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_not_even_the_tables_owner_changes_it_by_a_statement(
    app: Database, guild: GuildId, postgres: PreparedDatabase, url: str, statement: str
) -> None:
    await fill(app, guild, 1)
    connection = await asyncpg.connect(getattr(postgres, url))

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only grows"):
        await connection.execute(statement)

    await connection.close()


async def test_a_guild_neither_sees_nor_lengthens_another_ones_chain(
    app: Database, guild: GuildId, other_guild: GuildId
) -> None:
    await fill(app, guild, 2)
    forged = f'[{{"guild_id": "{guild}", "number": 9, "hash": "a", "actor": "a", "action": "a",'
    forged += ' "entity_type": "", "entity_id": "", "outcome": "success", "request_id": "",'
    forged += ' "correlation_id": "", "details": {}}]'

    async with app.transaction(other_guild) as tx:
        await tx.execute("SELECT audit_append($1)", forged)
        seen = await tx.fetch("SELECT guild_id, number FROM audit_log")

    assert [tuple(row) for row in seen] == [(other_guild, 1)]
    assert (await audit_log.verify(app, guild, PAGE)).number == 2
    assert (await audit_log.verify(app, other_guild, PAGE)).number == 1


async def test_writers_at_the_same_time_make_one_chain_without_a_gap(
    guild: GuildId, postgres: PreparedDatabase
) -> None:
    async with opened(postgres.app_url, connections=8) as app:

        async def write(actor: str) -> None:
            async with app.transaction(guild) as tx:
                await audit_log.append(tx, [entry(actor), entry(actor)])

        await asyncio.gather(*(write(f"user_{number}") for number in range(40)))

        assert (await audit_log.verify(app, guild, PAGE)).number == 80


async def test_what_an_audited_event_tells_is_written_with_it_or_not_at_all(
    app: Database, guild: GuildId
) -> None:
    payloads = [
        TaskDeleted(task_id="task_1"),
        PrincipalUpdated(principal_id="user_1", fields=("secret_hash",)),
    ]

    async def write() -> None:
        async with app.transaction(guild) as tx:
            for payload in payloads:
                await outbox.append(
                    tx,
                    cause=note(guild),
                    aggregate_id=f"{payload.type}_1",
                    version_before=0,
                    payloads=[payload],
                )
            await append(tx, guild, "inc_1")  # of which nobody is told

    await write()
    with pytest.raises(VersionConflict):
        await write()

    assert [row["action"] for row in await rows(app, guild)] == [one.type for one in payloads]
    assert {row["actor"] for row in await rows(app, guild)} == {"usr_1"}


async def test_a_removed_document_is_told_also_where_many_are_written_at_once(
    app: Database, guild: GuildId
) -> None:
    gone = [
        DocumentDeleted(source_type="document", source_id=f"doc_{number}") for number in range(3)
    ]
    made = [
        Effect(note(guild), "gone", Entry(f"index:{payload.source_id}", 1, payload))
        for payload in gone
    ]

    async with app.transaction(guild) as tx:
        await effects.record(tx, guild, [*made, Effect(note(guild), "there was none")])

    assert [row["entity_id"] for row in await rows(app, guild)] == ["doc_0", "doc_1", "doc_2"]
    assert (await audit_log.verify(app, guild, PAGE)).number == 3


async def rows(app: Database, guild: GuildId) -> Sequence[asyncpg.Record]:
    async with app.read(guild) as tx:
        return await tx.fetch("SELECT * FROM audit_log ORDER BY number")
