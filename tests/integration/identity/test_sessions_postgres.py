"""Sessions on PostgreSQL: the contract, many races and thefts, and what was revoked, in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TypeVar

import pytest

from actors import clock
from actors.identity.messages import TokenGrant
from actors.identity.postgres import PostgresIdentityStore
from actors.identity.sage import IdentitySage
from actors.identity.sessions.messages import ExchangeCode, RefreshSession, Revoked, RevokedSince
from actors.identity.sessions.postgres import PostgresSessionStore
from actors.identity.sessions.sage import SessionSage
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId
from actors.settings import GatewaySettings, GuildSettings
from actors.storage import revocations
from actors.storage.database import Database, Transaction
from actors.storage.housekeeping import keep_house
from actors.storage.inbox import Inbox
from cluster import admin
from serve_app.revocations import Held, Revocations
from tests.fixtures.gateway import quick_passwords
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.session_contract import (
    FEW,
    REDIRECT,
    VERIFIER,
    SessionContract,
    Time,
    World,
    new_digest,
    outcome,
)
from tests.fixtures.storage import new_vault

pytestmark = pytest.mark.integration

CONFIG = GuildSettings()
RACES, PARTS = 500, 5
THEFTS = 100
AT_ONCE = 8

ResultT = TypeVar("ResultT")


@pytest.fixture
async def database(module_database: PreparedDatabase) -> AsyncIterator[Database]:
    opened = await Database.open(
        module_database.app_url, CONFIG.database, connections=AT_ONCE, vault=new_vault()
    )
    yield opened
    await opened.close()


@pytest.fixture
async def guild(module_database: PreparedDatabase) -> GuildId:
    return await admin.create_guild(module_database.owner_url, clock.new_id("hall"))


def world_over(database: Database, guild: GuildId) -> World:
    time = Time()
    principals = PostgresIdentityStore(database)
    store = PostgresSessionStore(database, FEW)
    return World(
        guild=guild,
        identity=IdentitySage(principals, quick_passwords(CONFIG), now=time),
        sessions=SessionSage(store, store, principals, FEW, now=time),
        principals=principals,
        time=time,
    )


@pytest.fixture
def world(database: Database, guild: GuildId) -> World:
    return world_over(database, guild)


class TestPostgresSessionStore(SessionContract):
    """The contract, with row-level security under it."""


async def each(times: int, work: Callable[[], Awaitable[ResultT]]) -> list[ResultT]:
    """Does it so many times, a few at a time."""
    places = asyncio.Semaphore(AT_ONCE // 2)

    async def one() -> ResultT:
        async with places:
            return await work()

    return await asyncio.gather(*(one() for _ in range(times)))


async def many_sessions(tx: Transaction, of: TokenGrant, number: int) -> list[str]:
    """Digests of the first tokens of new sessions, which are made all at once."""
    digests = [new_digest() for _ in range(number)]
    ids = [clock.new_id("ses") for _ in digests]
    await tx.execute(
        "INSERT INTO sessions (session_id, guild_id, principal_id, principal_version, client_id,"
        " client_version, scopes, created_at, expires_at)"
        " SELECT id, $2, $3, $4, $5, 0, '{read}', now(), now() + interval '1 hour'"
        " FROM unnest($1::text[]) AS id",
        ids,
        of.guild_id,
        of.principal_id,
        of.version,
        of.client_id,
    )
    await tx.execute(
        "INSERT INTO refresh_tokens (digest, guild_id, session_id, expires_at)"
        " SELECT digest, $3, id, now() + interval '1 hour'"
        " FROM unnest($1::text[], $2::text[]) AS new(digest, id)",
        digests,
        ids,
        of.guild_id,
    )
    return digests


@pytest.mark.parametrize("part", range(PARTS))
async def test_of_500_races_for_a_refresh_token_each_has_exactly_one_winner(
    world: World, database: Database, part: int
) -> None:
    user = await world.user()

    async with database.transaction(world.guild) as tx:
        begun = await world.granted(user)
        digests = await many_sessions(tx, begun, RACES // PARTS)
    waiting = iter(digests)

    async def race() -> int:
        digest = next(waiting)
        rivals = (outcome(world.refresh(digest, new_digest())) for _ in range(2))
        return (await asyncio.gather(*rivals)).count("won")

    winners = await each(RACES // PARTS, race)

    assert winners == [1] * (RACES // PARTS)


async def test_of_100_thefts_each_ends_the_session(world: World, database: Database) -> None:
    user = await world.user()

    async def theft() -> tuple[str, str]:
        stolen, following = new_digest(), new_digest()
        await world.sign_in(user, stolen)
        await world.refresh(stolen, following)
        thief = await outcome(world.refresh(stolen, new_digest()))
        return thief, await outcome(world.refresh(following, new_digest()))

    outcomes = await each(THEFTS, theft)

    async with database.read(world.guild) as tx:
        ended = await tx.fetchval("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL")
        told = await tx.fetchval(
            "SELECT count(*) FROM events WHERE type = 'user.session.ended'"
            " AND data->>'reason' = 'reused'"
        )
        denied = await tx.fetchval("SELECT count(*) FROM revocations WHERE kind = 'session'")
    assert outcomes == [("validation_error", "validation_error")] * THEFTS
    assert (ended, told, denied) == (THEFTS, THEFTS, THEFTS)


async def test_a_refresh_that_is_repeated_because_its_answer_was_lost_is_no_theft(
    world: World, database: Database
) -> None:
    pool = LocalPool(world.sessions.handlers(), Inbox(database))
    user, digest, following = await world.user(), new_digest(), new_digest()
    await world.sign_in(user, digest)
    command = RefreshSession(
        context=world.context(),
        command_id=clock.new_id("key"),
        digest=digest,
        next_digest=following,
        client_id="_guild",
    )

    first = await pool.ask(command)
    again = await pool.ask(command)

    assert first == again
    assert await outcome(world.refresh(following, new_digest())) == "won"


async def test_a_repeat_that_finds_its_token_used_by_itself_is_taken_for_no_theft(
    world: World, database: Database
) -> None:
    user, client = await world.user(), await world.client()
    code, first, second = (new_digest() for _ in range(3))
    await world.agree(user, client.principal_id, code)
    exchange = ExchangeCode(
        context=world.context(client.principal_id),
        command_id=clock.new_id("cmd"),
        code_digest=code,
        redirect_uri=REDIRECT,
        verifier=VERIFIER,
        refresh_digest=first,
    )
    refresh = RefreshSession(
        context=world.context(client.principal_id),
        command_id=clock.new_id("cmd"),
        digest=first,
        next_digest=second,
        client_id=client.principal_id,
    )
    pool = LocalPool(world.sessions.handlers(), Inbox(database))

    exchanged = [await pool.ask(exchange), await pool.ask(exchange)]
    refreshed = [await pool.ask(refresh), await pool.ask(refresh)]

    assert exchanged[0] == exchanged[1] == refreshed[0] == refreshed[1]
    assert await outcome(world.refresh(second, new_digest(), client.principal_id)) == "won"


async def test_tokens_of_another_guild_are_out_of_reach(
    world: World, module_database: PreparedDatabase, database: Database
) -> None:
    user, digest = await world.user(), new_digest()
    await world.sign_in(user, digest)
    other = await admin.create_guild(module_database.owner_url, clock.new_id("hall"))

    theirs = await outcome(world_over(database, other).refresh(digest, new_digest()))

    async with database.read(other) as tx:
        seen = [
            await tx.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608  # constants
            for table in ("sessions", "refresh_tokens", "authorization_codes", "revocations")
        ]
    assert (theirs, seen) == ("validation_error", [0, 0, 0, 0])
    assert await outcome(world.refresh(digest, new_digest())) == "won"


async def test_a_denied_token_and_whose_session_ended_for_what_reason_are_audited_once(
    world: World, database: Database
) -> None:
    user, digest, token = await world.user(), new_digest(), clock.new_id("jti")
    begun = await world.sign_in(user, digest)

    for _ in range(2):
        await world.deny(token)
        await world.sign_out(digest)

    async with database.read(world.guild) as tx:
        rows = await tx.fetch(
            "SELECT action, entity_id, details->>'principal_id' AS whose,"
            " details->>'reason' AS reason FROM audit_log"
            " WHERE entity_type IN ('token', 'session') ORDER BY number"
        )
    assert [tuple(row) for row in rows] == [
        ("user.session.started", begun.session_id, user.principal_id, None),
        ("token.denied", token, None, None),
        ("user.session.ended", begun.session_id, user.principal_id, "revoked"),
    ]


async def test_what_an_open_transaction_will_revoke_is_not_missed(
    world: World, database: Database
) -> None:
    late, early = clock.new_id("jti"), clock.new_id("jti")
    store = PostgresSessionStore(database, CONFIG.identity)

    async with database.transaction(world.guild) as tx:
        await tx.execute(
            "INSERT INTO revocations (guild_id, kind, subject, expires_at)"
            " VALUES ($1, 'token', $2, now() + interval '1 hour')",
            world.guild,
            late,
        )
        await world.deny(early)
        before = await store.revoked_since(0, 1_000)
    after = await store.revoked_since(before.cursor, 1_000)

    assert late not in {one.subject for one in before.revocations}
    assert late in {one.subject for one in after.revocations}


async def test_what_was_open_while_the_first_of_several_pages_was_read_is_not_missed(
    world: World, database: Database
) -> None:
    late = clock.new_id("jti")
    replica = Revocations(GatewaySettings(revocation_page=2))
    pool = LocalPool(world.sessions.handlers())
    async with AsyncExitStack() as transaction:
        tx = await transaction.enter_async_context(database.transaction(world.guild))
        await revocations.add(tx, world.guild, "token", late, kept_s=60.0)
        for _ in range(3):
            await world.deny(clock.new_id("jti"))

        async def since(query: RevokedSince) -> Revoked:
            page = await pool.ask(query)
            await transaction.aclose()
            return page

        await replica.look(lambda _: LocalPool({RevokedSince: since}))
    await replica.look(lambda _: pool)

    held = Held(
        token_id=late, session_id="", principal_id="", version=0, client_id="", client_version=0
    )
    assert replica.refuses(held)


async def test_from_beyond_the_newest_transaction_everything_is_read_again(world: World) -> None:
    user, digest = await world.user(), new_digest()
    begun = await world.sign_in(user, digest)
    await world.sign_out(digest)

    page = await world.sessions.revoked_since(
        RevokedSince(context=world.context(), cursor=2**62, limit=1_000)
    )

    assert begun.session_id in {one.subject for one in page.revocations}


async def test_the_tokens_of_an_expired_session_are_forgotten_a_part_at_a_time(
    world: World, module_database: PreparedDatabase, database: Database
) -> None:
    user = await world.user()
    world.time.pass_s(-90 * 86_400)
    digests = [new_digest() for _ in range(5)]
    begun = await world.sign_in(user, digests[0])
    for used, following in pairwise(digests):
        await world.refresh(used, following)
    across = await Database.open(module_database.log_url, CONFIG.database, connections=1)
    few = CONFIG.log.model_copy(update={"housekeeping_rows": 2})

    left: list[tuple[int, int]] = []
    for _ in range(3):
        await keep_house(across, few, clock.now())
        async with database.read(world.guild) as tx:
            tokens = await tx.fetchval("SELECT count(*) FROM refresh_tokens")
            sessions = await tx.fetchval(
                "SELECT count(*) FROM sessions WHERE session_id = $1", begun.session_id
            )
        left.append((tokens, sessions))

    await across.close()
    assert left == [(3, 1), (1, 1), (0, 0)]


async def test_what_has_expired_is_forgotten(
    world: World, module_database: PreparedDatabase, database: Database
) -> None:
    user, client = await world.user(), await world.client()
    world.time.pass_s(-90 * 86_400)
    code, digest = new_digest(), new_digest()
    await world.agree(user, client.principal_id, code)
    await world.exchange(client.principal_id, code, digest)
    across = await Database.open(module_database.log_url, CONFIG.database, connections=1)

    await keep_house(across, CONFIG.log, clock.now())

    await across.close()
    async with database.read(world.guild) as tx:
        left = [
            await tx.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608  # constants
            for table in ("sessions", "refresh_tokens", "authorization_codes")
        ]
    assert left == [0, 0, 0]
