"""Sessions over stores in memory."""

import pytest

from actors import clock
from actors.events import SessionEnded, SessionStarted
from actors.identity.sage import IdentitySage
from actors.identity.sessions.sage import SessionSage
from actors.runtime.message import GuildId
from actors.settings import GuildSettings
from tests.fixtures.gateway import quick_passwords
from tests.fixtures.memory_identity import MemoryIdentityStore
from tests.fixtures.memory_sessions import MemorySessionStore
from tests.fixtures.session_contract import (
    FEW,
    SessionContract,
    Time,
    World,
    new_digest,
    outcome,
)

CONFIG = GuildSettings()


@pytest.fixture
def store() -> MemorySessionStore:
    return MemorySessionStore(MemoryIdentityStore(), FEW)


@pytest.fixture
def world(store: MemorySessionStore) -> World:
    time = Time()
    principals = store.principals
    return World(
        guild=GuildId(clock.new_id("guild")),
        identity=IdentitySage(principals, quick_passwords(CONFIG), now=time),
        sessions=SessionSage(store, store, principals, FEW, now=time),
        principals=principals,
        time=time,
    )


class TestMemorySessionStore(SessionContract):
    """The contract."""


async def test_the_log_says_who_signed_in_and_why_a_session_ended(
    world: World, store: MemorySessionStore
) -> None:
    user, first, second = await world.user(), new_digest(), new_digest()
    await world.sign_in(user, first)
    await world.refresh(first, second)

    await outcome(world.refresh(first, new_digest()))
    await outcome(world.refresh(first, new_digest()))

    started, ended = store.events
    assert isinstance(started, SessionStarted)
    assert isinstance(ended, SessionEnded)
    assert (started.principal_id, ended.reason) == (user.principal_id, "reused")


async def test_nothing_secret_is_in_an_event(world: World, store: MemorySessionStore) -> None:
    user, digest = await world.user(), new_digest()
    await world.sign_in(user, digest)

    await world.sign_out(digest)

    assert digest not in repr(store.events)
