"""What is sealed is sealed for one place, is rotated while it is read, and is nowhere in clear."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest
from pydantic import SecretStr

from actors import clock
from actors.events import PrincipalCreated
from actors.identity.messages import Role
from actors.runtime.message import GuildId, Permission
from actors.settings import GuildSettings
from actors.storage import outbox, sealing
from actors.storage.database import Database
from actors.storage.frontier import Frontier
from actors.storage.log import BEGINNING, LogReader
from actors.storage.migrate import migrate
from actors.storage.streams import LiveTail
from actors.storage.vault import Lost, Vault
from cluster import admin
from cluster.bootstrap import Passwords, bootstrap
from cluster.process import free_ports
from cluster.rewrap import rewrap_all
from cluster.services import PostgresServer, ValkeyServer
from tests.fixtures.services import PreparedDatabase, service_folder
from tests.fixtures.storage import new_guild, new_vault, note, opened

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

OLD = f'[{{"kid": "2026", "key": "{"o" * 32}"}}]'
BOTH = f'[{{"kid": "2027", "key": "{"n" * 32}"}}, {{"kid": "2026", "key": "{"o" * 32}"}}]'
NEW = f'[{{"kid": "2027", "key": "{"n" * 32}"}}]'
SUBJECTS = 10_000
ROTATED_WITHIN_S = 30.0

SEALED = {("subject_keys", "wrapped_key"), ("digest_keys", "wrapped_key")}
HASHED = {
    ("principals", "secret_hash"),
    ("refresh_tokens", "digest"),
    ("authorization_codes", "digest"),
}
NO_SECRETS = {
    ("chunks", "embedded_text"),  # a digest
    ("rag_feedback", "query_sha256"),
    ("incidents", "correlation_key"),  # what groups alerts
    ("events", "sealed_for"),  # a digest
    ("schema_migrations", "digest"),
}


async def test_every_column_that_sounds_like_a_secret_is_known_to_be_sealed_or_hashed(
    postgres: PreparedDatabase,
) -> None:
    connection = await asyncpg.connect(postgres.admin_url)
    rows = await connection.fetch(
        "SELECT DISTINCT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name !~ '^events_[0-9d]' AND"
        " (data_type = 'bytea' OR column_name ~ '(secret|password|token|_key|sealed|digest)')"
    )
    await connection.close()

    assert {tuple(row) for row in rows} <= SEALED | HASHED | NO_SECRETS


@pytest.fixture
async def by_hand(fresh_database: PreparedDatabase) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(fresh_database.admin_url)
    yield connection
    await connection.close()


async def hold(database: Database, guild: GuildId, names: Sequence[str]) -> None:
    async with database.transaction(guild) as tx:
        await sealing.hold(tx, guild, names)


async def lost(prepared: PreparedDatabase, guild: GuildId, ring: str) -> tuple[int, int]:
    """How many of a guild's keys a process that knows nothing yet cannot use, and of how many."""
    async with (
        opened(prepared.app_url, vault=new_vault(ring)) as database,
        database.read(guild) as tx,
    ):
        rows = await tx.fetch("SELECT subject FROM subject_keys")
        wanted = {(str(guild), row["subject"]) for row in rows}
        keys = await sealing.keys(tx, wanted)
    return sum(isinstance(key, Lost) or key is None for key in keys.values()), len(keys)


async def test_what_one_process_sealed_another_reads_also_after_a_rotation(
    fresh_database: PreparedDatabase,
) -> None:
    """X10: a fresh key was made for every call and kept nowhere, so nothing could be read."""
    guild = await new_guild(fresh_database)
    config = GuildSettings(
        database_url=SecretStr(fresh_database.app_url),
        log_database_url=SecretStr(fresh_database.log_url),
        secret_key=SecretStr(BOTH),
    )

    async def read(ring: str) -> int:
        async with opened(fresh_database.log_url, vault=new_vault(ring)) as across:
            return len(await LogReader(across).read(BEGINNING, 9))

    async with opened(fresh_database.app_url, vault=new_vault(OLD)) as database:
        await tell(database, guild, "person@example.test", "agg_1")
    restarted = await read(OLD)
    await rewrap_all(config)

    assert (restarted, await read(BOTH), await read(NEW), await read(OLD)) == (1, 1, 1, 0)


MOVES = {
    "between the rows of a guild": """
        WITH numbered AS (SELECT guild_id, subject, kid, wrapped_key,
            row_number() OVER (PARTITION BY guild_id ORDER BY subject) AS place,
            count(*) OVER (PARTITION BY guild_id) AS number FROM subject_keys)
        UPDATE subject_keys AS known SET wrapped_key = other.wrapped_key, kid = other.kid
        FROM numbered AS mine JOIN numbered AS other
          ON other.guild_id = mine.guild_id AND other.place = mine.place % mine.number + 1
        WHERE (known.guild_id, known.subject) = (mine.guild_id, mine.subject)""",
    "between two guilds": """
        WITH numbered AS (SELECT guild_id, subject, kid, wrapped_key,
            row_number() OVER (PARTITION BY guild_id ORDER BY subject) AS place FROM subject_keys)
        UPDATE subject_keys AS known SET wrapped_key = other.wrapped_key, kid = other.kid
        FROM numbered AS mine JOIN numbered AS other
          ON other.guild_id <> mine.guild_id AND other.place = mine.place
        WHERE (known.guild_id, known.subject) = (mine.guild_id, mine.subject)""",
    "from another table": """
        UPDATE subject_keys AS known SET wrapped_key = digest.wrapped_key, kid = digest.kid
        FROM digest_keys AS digest WHERE digest.guild_id = known.guild_id""",
}


@pytest.mark.parametrize("move", MOVES)
async def test_ciphertext_that_was_moved_is_refused_everywhere(
    fresh_database: PreparedDatabase, by_hand: Connection, move: str
) -> None:
    guilds = [await new_guild(fresh_database) for _ in range(2)]
    async with opened(fresh_database.app_url, vault=new_vault(OLD)) as database:
        for guild in guilds:
            await hold(database, guild, [f"person {number}" for number in range(200)])
    before = [await lost(fresh_database, guild, OLD) for guild in guilds]

    await by_hand.execute(MOVES[move])

    after = [await lost(fresh_database, guild, OLD) for guild in guilds]
    assert (before, after) == ([(0, 200)] * 2, [(200, 200)] * 2)


async def test_sealed_payloads_that_were_moved_between_events_of_one_person_are_refused(
    fresh_database: PreparedDatabase, by_hand: Connection
) -> None:
    guild = await new_guild(fresh_database)
    async with opened(fresh_database.app_url, vault=new_vault(OLD)) as database:
        for number in range(50):
            await tell(database, guild, f"login {number}", aggregate_id=f"agg_{number}")

    await by_hand.execute(
        "WITH numbered AS (SELECT event_id, data, row_number() OVER (ORDER BY seq) AS place"
        " FROM events) UPDATE events SET data = other.data FROM numbered AS mine"
        " JOIN numbered AS other ON other.place = mine.place % 50 + 1"
        " WHERE events.event_id = mine.event_id"
    )

    async with opened(fresh_database.log_url, vault=new_vault(OLD)) as across:
        (page,) = await LogReader(across).advance([Frontier.at(BEGINNING)], 100)
    assert (len(page.events), len(page.unreadable)) == (0, 50)


async def tell(database: Database, guild: GuildId, login: str, aggregate_id: str) -> None:
    """Writes an event whose payload is sealed for one person."""
    payload = PrincipalCreated(principal_id="user_1", kind="user", login=login, role="elder")
    async with database.transaction(guild) as tx:
        await outbox.append(
            tx,
            cause=note(guild),
            aggregate_id=aggregate_id,
            version_before=0,
            payloads=[payload],
        )


async def test_ten_thousand_keys_are_rotated_while_they_are_read(
    fresh_database: PreparedDatabase,
) -> None:
    config = GuildSettings(
        database_url=SecretStr(fresh_database.app_url),
        log_database_url=SecretStr(fresh_database.log_url),
        secret_key=SecretStr(BOTH),
    )
    guild = await new_guild(fresh_database)
    names = [f"person {number}" for number in range(SUBJECTS - 1)]
    async with opened(fresh_database.app_url, vault=new_vault(OLD)) as database:
        for start in range(0, len(names), 1_000):
            await hold(database, guild, names[start : start + 1_000])
        await tell(database, guild, "person@example.test", "agg_1")
    over = asyncio.Event()

    async def read() -> tuple[int, int]:
        """As processes do that have begun just now: they remember nothing."""
        undecryptable = looked_at = 0
        async with opened(fresh_database.app_url, connections=1) as database:
            while not over.is_set():
                began = time.perf_counter()
                database.vault = new_vault(BOTH)
                async with database.read(guild) as tx:
                    some = await tx.fetch("SELECT subject FROM subject_keys TABLESAMPLE SYSTEM (2)")
                    wanted = {(str(guild), row["subject"]) for row in some}
                    found = (await sealing.keys(tx, wanted)).values() if wanted else ()
                undecryptable += sum(isinstance(key, Lost) or key is None for key in found)
                looked_at += len(found)
                await asyncio.sleep(time.perf_counter() - began)  # or the readers set the pace
        return undecryptable, looked_at

    readers = [asyncio.create_task(read()) for _ in range(3)]
    started = time.perf_counter()
    done = await rewrap_all(config)
    took_s = time.perf_counter() - started
    over.set()
    seen = await asyncio.gather(*readers)

    assert done == SUBJECTS + 1  # and the guild's digest key
    assert sum(undecryptable for undecryptable, _ in seen) == 0
    assert all(looked_at for _, looked_at in seen)
    assert await lost(fresh_database, guild, NEW) == (0, SUBJECTS)
    async with opened(fresh_database.log_url, vault=new_vault(NEW)) as across:
        assert len(await LogReader(across).read(BEGINNING, 9)) == 1
    assert took_s <= ROTATED_WITHIN_S
    assert await lost(fresh_database, guild, OLD) == (SUBJECTS, SUBJECTS)


def marker(name: str) -> str:
    """A secret that is found wherever it stands."""
    return f"canary-{name}-{secrets.token_hex(24)}"


@pytest.fixture
def folder() -> Iterator[Path]:
    with service_folder() as folder:
        yield folder


async def show(log_url: str, redis_url: str, config: GuildSettings) -> None:
    """The whole log, as the router shows it in Redis."""
    async with opened(log_url, vault=Vault.of(config)) as across:
        events = await LogReader(across).read(BEGINNING, 100)
    tail = LiveTail(redis_url, config.router)
    running = asyncio.create_task(tail.run())
    tail.offer(events)
    for _ in range(600):
        if tail.appended == len(events):
            break
        await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait([running])


async def test_no_secret_is_in_the_files_of_postgresql_or_valkey(folder: Path) -> None:
    roles = Passwords(owner=marker("owner"), app=marker("app"), log=marker("log"))
    password, client_secret = marker("password"), marker("client")
    personal, ring, superuser = marker("person"), marker("ring"), marker("superuser")
    server = PostgresServer(
        folder / "pg", port=free_ports(1)[0], password=superuser, environment={}
    )
    valkey = ValkeyServer(
        folder / "valkey", port=free_ports(1)[0], password=marker("valkey"), environment={}
    )
    for service in (server, valkey):
        service.prepare()
        await service.start(timeout_s=60)
    try:
        made = await bootstrap(server.admin_url, roles, database="guild")
        await migrate(made.owner)
        config = GuildSettings(secret_key=SecretStr(ring))
        first = await admin.ensure_first_guild(
            made.owner,
            made.app,
            config=config,
            admin_password=password,
            client_secret=client_secret,
        )
        assert first is not None
        async with admin.open_identity(made.app, config) as identity:
            again = marker("again")
            await identity.reset_password(first.guild_id, first.admin_login, again)
            await identity.create_user(first.guild_id, "somebody", again, Role.USER)
            scopes = frozenset({Permission.READ})
            await identity.create_client(first.guild_id, "program", client_secret[::-1], scopes)
        async with opened(made.app, vault=Vault.of(config)) as database:
            await tell(database, first.guild_id, personal, clock.new_id("any"))
        await show(made.log, valkey.url, config)
        found_in = clock.new_id("openly")
        connection = await asyncpg.connect(server.admin_url)
        await connection.execute("CREATE TABLE control AS SELECT $1::text AS found", found_in)
        await connection.execute("CHECKPOINT")
        await connection.fetchval("SELECT pg_switch_wal()")
        await connection.close()
    finally:
        valkey.stop()
        server.stop()

    hidden = [password, client_secret, client_secret[::-1], again, personal, ring, superuser]
    hidden += [roles.owner, roles.app, roles.log]
    files = contents(folder)
    hits = {path for path, text in files.items() for one in hidden if one.encode() in text}
    assert hits == set()
    for part in ("base", "pg_wal"):
        assert any(found_in.encode() in text for path, text in files.items() if f"/{part}/" in path)
    shown = [text for path, text in files.items() if "/appendonlydir/" in path]
    assert any(first.guild_id.encode() in text for text in shown)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the one, closed to others, from which Valkey learns its own password."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "valkey.conf"]
    return {str(path): path.read_bytes() for path in files}
