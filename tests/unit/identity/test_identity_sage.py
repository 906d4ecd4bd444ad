"""Sign-in, and the changes an operator makes."""

import asyncio

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from actors.errors import (
    DependencyUnavailable,
    ElderGuildError,
    NotAuthenticated,
    NotFound,
    Overloaded,
    ValidationError,
)
from actors.events import PrincipalCreated, PrincipalUpdated
from actors.identity.domain import Principal
from actors.identity.messages import (
    ClientCredentials,
    CreateClient,
    CreateUser,
    LogIn,
    ResetPassword,
    Role,
)
from actors.identity.passwords import Passwords
from actors.identity.sage import IdentitySage
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Permission
from actors.settings import IdentitySettings
from tests.fixtures.identity_contract import context
from tests.fixtures.memory_identity import MemoryIdentityStore

GUILD = GuildId("guild_a")
NOBODY = GuildId("")
PASSWORD = "correct horse battery"
SECRET = "z" * 43


class CountingHasher(Argon2Hasher):
    """As cheap as Argon2 gets, and counts the checks."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checks = 0

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:
        self.checks += 1
        return super().verify(password, hash)


class CountingStore(MemoryIdentityStore):
    """Remembers what was looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.look_ups: list[str] = []

    async def guild_of(self, login: str) -> GuildId | None:
        self.look_ups.append("guild_of")
        return await super().guild_of(login)

    async def by_login(self, guild_id: GuildId, login: str) -> Principal | None:
        self.look_ups.append("by_login")
        return await super().by_login(guild_id, login)


class FailingStore(MemoryIdentityStore):
    """Fails to look a login up, while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: ElderGuildError | None = None

    async def guild_of(self, login: str) -> GuildId | None:
        if self.failure is not None:
            raise self.failure
        return await super().guild_of(login)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def store() -> MemoryIdentityStore:
    return MemoryIdentityStore()


@pytest.fixture
def pool(store: MemoryIdentityStore, hasher: CountingHasher) -> LocalPool:
    sage = IdentitySage(store, Passwords(IdentitySettings(), hasher))
    return LocalPool(sage.handlers())


def create_user(login: str = "elder", role: Role = Role.ELDER) -> CreateUser:
    return CreateUser(
        context=context(GUILD), command_id="cmd_1", login=login, password=PASSWORD, role=role
    )


def create_client() -> CreateClient:
    return CreateClient(
        context=context(GUILD),
        command_id="cmd_2",
        client_id="robot",
        secret=SECRET,
        scopes=frozenset({Permission.WRITE, Permission.INCIDENT}),
    )


def log_in(login: str, password: str) -> LogIn:
    return LogIn(context=context(NOBODY), login=login, password=password)


def credentials(client_id: str, secret: str, *scopes: str) -> ClientCredentials:
    return ClientCredentials(
        context=context(NOBODY), client_id=client_id, secret=secret, scopes=scopes
    )


async def test_the_right_password_is_granted_what_the_role_may_do(pool: LocalPool) -> None:
    user = await pool.ask(create_user())

    granted = await pool.ask(log_in("elder", PASSWORD))

    assert granted.principal_id == user.principal_id
    assert granted.guild_id == GUILD
    assert granted.permissions == user.permissions


@pytest.mark.parametrize(
    ("login", "password"),
    [("elder", "wrong"), ("nobody", PASSWORD), ("robot", SECRET), ("E\x00", PASSWORD), ("", "")],
)
async def test_whatever_is_wrong_with_a_login_answers_the_same_and_costs_one_check(
    pool: LocalPool, hasher: CountingHasher, login: str, password: str
) -> None:
    await pool.ask(create_user())
    await pool.ask(create_client())

    with pytest.raises(NotAuthenticated) as refused:
        await pool.ask(log_in(login, password))

    assert str(refused.value) == str(NotAuthenticated())
    assert hasher.checks == 1


async def test_the_right_secret_is_granted_the_clients_scopes(pool: LocalPool) -> None:
    await pool.ask(create_client())

    everything = await pool.ask(credentials("robot", SECRET))
    part = await pool.ask(credentials("robot", SECRET, "write"))

    assert everything.permissions == {Permission.WRITE, Permission.INCIDENT}
    assert part.permissions == {Permission.WRITE}


@pytest.mark.parametrize(
    ("client_id", "secret"), [("robot", "wrong"), ("nobody", SECRET), ("elder", PASSWORD)]
)
async def test_whatever_is_wrong_with_a_client_answers_the_same(
    pool: LocalPool, client_id: str, secret: str
) -> None:
    await pool.ask(create_user())
    await pool.ask(create_client())

    with pytest.raises(NotAuthenticated):
        await pool.ask(credentials(client_id, secret))


async def test_a_new_password_replaces_the_old_one(
    pool: LocalPool, store: MemoryIdentityStore
) -> None:
    await pool.ask(create_user())
    reset = ResetPassword(
        context=context(GUILD), command_id="cmd_3", login="elder", password="another fine phrase"
    )

    await pool.ask(reset)

    assert (await pool.ask(log_in("elder", "another fine phrase"))).guild_id == GUILD
    with pytest.raises(NotAuthenticated):
        await pool.ask(log_in("elder", PASSWORD))
    assert [type(event) for event in store.events] == [PrincipalCreated, PrincipalUpdated]


async def test_only_a_user_has_a_password_to_reset(pool: LocalPool) -> None:
    await pool.ask(create_client())
    for login in ("robot", "nobody"):
        reset = ResetPassword(
            context=context(GUILD), command_id="cmd_3", login=login, password=PASSWORD
        )

        with pytest.raises(NotFound):
            await pool.ask(reset)


async def test_a_weak_password_is_refused_before_it_is_hashed(pool: LocalPool) -> None:
    weak = CreateUser(
        context=context(GUILD), command_id="cmd_1", login="e", password="short", role=Role.USER
    )

    with pytest.raises(ValidationError, match="password"):
        await pool.ask(weak)


async def test_nothing_secret_is_in_an_event(pool: LocalPool, store: MemoryIdentityStore) -> None:
    await pool.ask(create_user())
    await pool.ask(create_client())

    assert PASSWORD not in repr(store.events)
    assert SECRET not in repr(store.events)


@pytest.mark.parametrize("client_id", ["robot", "nobody", "elder"])
async def test_a_name_that_is_nobodys_is_looked_up_as_often_as_one_that_is_somebodys(
    hasher: CountingHasher, client_id: str
) -> None:
    store = CountingStore()
    pool = LocalPool(IdentitySage(store, Passwords(IdentitySettings(), hasher)).handlers())
    await pool.ask(create_user())
    await pool.ask(create_client())

    with pytest.raises(NotAuthenticated):
        await pool.ask(credentials(client_id, "wrong"))

    assert store.look_ups == ["guild_of", "by_login"]


@pytest.mark.parametrize("failure", [Overloaded(1.0), DependencyUnavailable("postgres")])
async def test_what_failed_because_of_us_is_no_wrong_password(
    hasher: CountingHasher, failure: ElderGuildError
) -> None:
    store = FailingStore()
    sage = IdentitySage(store, Passwords(IdentitySettings(account_failures=2), hasher))
    pool = LocalPool(sage.handlers())
    await pool.ask(create_user())

    store.failure = failure
    for _ in range(5):
        with pytest.raises(type(failure)):
            await pool.ask(log_in("elder", PASSWORD))
    store.failure = None

    assert (await pool.ask(log_in("elder", PASSWORD))).guild_id == GUILD


async def test_more_checks_than_may_wait_are_refused_at_once(hasher: CountingHasher) -> None:
    passwords = Passwords(IdentitySettings(hash_concurrency=1, hash_queue=1), hasher)

    outcomes = await asyncio.gather(
        *(passwords.verify("guess", None) for _ in range(5)), return_exceptions=True
    )

    assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 3
    assert await passwords.verify("guess", None) is False
