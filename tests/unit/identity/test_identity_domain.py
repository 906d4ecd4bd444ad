"""Who may do what, and what names and secrets must look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ValidationError
from actors.identity import domain
from actors.identity.messages import CreateClient, CreateUser, Role
from actors.runtime.message import Caller, GuildId, Permission
from tests.fixtures.identity_contract import NOON, context

GUILD = GuildId("guild_a")
SECRET = "s" * 43


def new_user(role: Role, serves: Permission | None = None) -> domain.Principal:
    command = CreateUser(
        context=context(GUILD),
        command_id="cmd_1",
        login="somebody",
        password="",
        role=role,
        serves=serves,
    )
    return domain.create_user(command, "user_1", "hash", NOON)[0]


def new_client(
    *scopes: Permission, client_id: str = "robot", secret: str = SECRET
) -> domain.Principal:
    command = CreateClient(
        context=context(GUILD),
        command_id="cmd_1",
        client_id=client_id,
        secret=secret,
        scopes=frozenset(scopes),
    )
    return domain.create_client(command, NOON)[0]


def test_an_admin_may_do_everything() -> None:
    granted = domain.grant(new_user(Role.ADMIN))

    caller = Caller(guild_id=GUILD, principal_id="user_1", permissions=granted.permissions)
    assert all(caller.may(permission) for permission in Permission)


def test_an_elder_may_not_administer() -> None:
    assert domain.PERMISSIONS[Role.ELDER] == frozenset(Permission) - {Permission.ADMIN}


def test_a_user_may_not_delete_nor_write_knowledge() -> None:
    missing = frozenset(Permission) - domain.PERMISSIONS[Role.USER]

    assert missing == {Permission.ADMIN, Permission.DELETE, Permission.KNOWLEDGE}


def test_a_guest_only_reads() -> None:
    assert new_user(Role.GUEST).permissions == {Permission.READ}


def test_a_sage_has_its_own_permission_and_no_other_sages() -> None:
    sage = new_user(Role.SAGE, Permission.TASK)

    assert sage.permissions == {Permission.READ, Permission.WRITE, Permission.TASK}


@pytest.mark.parametrize(
    ("role", "serves"),
    [(Role.SAGE, None), (Role.SAGE, Permission.ADMIN), (Role.USER, Permission.KNOWLEDGE)],
)
def test_only_a_sage_serves_and_only_a_sages_permission(
    role: Role, serves: Permission | None
) -> None:
    with pytest.raises(ValidationError, match="serves"):
        new_user(role, serves)


def test_a_client_gets_the_part_of_its_scopes_that_it_asks_for() -> None:
    client = new_client(Permission.READ, Permission.WRITE)

    assert domain.grant(client, ("write",)).permissions == {Permission.WRITE}
    assert domain.grant(client).permissions == {Permission.READ, Permission.WRITE}


@pytest.mark.parametrize("scope", ["delete", "admin", "", "Read", "read write"])
def test_a_client_gets_no_scope_that_it_does_not_have(scope: str) -> None:
    client = new_client(Permission.READ, Permission.WRITE)

    with pytest.raises(ValidationError, match="scope"):
        domain.grant(client, ("read", scope))


def test_an_admin_client_may_ask_for_less() -> None:
    assert domain.grant(new_client(Permission.ADMIN), ("read",)).permissions == {Permission.READ}


def test_a_short_secret_and_an_empty_scope_list_are_refused() -> None:
    with pytest.raises(ValidationError, match="256"):
        new_client(Permission.READ, secret="s" * 42)
    with pytest.raises(ValidationError, match="scopes"):
        new_client()


def test_a_secret_is_kept_as_a_digest_and_matches_only_itself() -> None:
    client = new_client(Permission.READ)

    assert SECRET not in client.secret_hash
    assert domain.matches(SECRET, client.secret_hash)
    assert not domain.matches(SECRET + "s", client.secret_hash)


@pytest.mark.parametrize(
    "login", ["", "-a", "a-", "A", "a b", "a\n", "ä", "a" * 129, "a\x00", "a/b"]
)
def test_a_strange_login_is_refused(login: str) -> None:
    with pytest.raises(ValidationError, match="login"):
        domain.check_login("login", login)


@pytest.mark.parametrize(
    "password", ["short", "abababababababab", "my-name-is-elder-1", "x" * 257, ""]
)
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(ValidationError, match="password"):
        domain.check_password(password, "elder-1")


@given(st.text(alphabet="ABC \x00\ud800", min_size=1, max_size=40))
def test_no_error_repeats_what_was_sent(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        domain.check_login("login", text)

    assert str(refused.value) == "login: is 1 to 128 of a-z, 0-9, dot, dash, plus, at, underscore"


def test_what_is_secret_is_not_shown_by_repr() -> None:
    command = CreateClient(
        context=context(GUILD), command_id="cmd_1", client_id="r", secret=SECRET, scopes=frozenset()
    )

    assert SECRET not in repr(command)
    assert "hash" not in repr(new_user(Role.USER)).replace("password_hash", "")
