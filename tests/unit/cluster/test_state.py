"""Files of a stack: private, whole, and readable again."""

import json
from pathlib import Path

import pytest

from cluster.bootstrap import Passwords, urls, with_login
from cluster.credentials import Credentials
from cluster.problem import StackProblem
from cluster.state import SECRETS_FILE, Login, Stack


def make(folder: Path) -> Stack:
    return Stack(
        stack_id="one",
        pid=1,
        folder=str(folder),
        started_at="2026-01-01T12:00:00+00:00",
        ready=True,
        api_url="http://127.0.0.1:8000",
        ray_address="127.0.0.2:1",
        ray_token="token",
        dashboard_url="http://127.0.0.1:2",
        database_url="postgresql://app",
        log_database_url="postgresql://log",
        migration_database_url="postgresql://owner",
        redis_url="redis://x",
        gcs_store_url="redis://y",
        ports={"http": 8000},
        admin=Login(name="admin", secret="secret"),
    )


def test_a_saved_stack_is_loaded_as_it_was(tmp_path: Path) -> None:
    stack = make(tmp_path)

    stack.save()

    assert Stack.load(tmp_path) == stack
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["stack.json"]


def test_no_stack_was_ever_started_here(tmp_path: Path) -> None:
    assert Stack.load(tmp_path) is None


def test_a_client_never_gets_the_owners_rights(tmp_path: Path) -> None:
    environment = make(tmp_path).client_environment()

    assert "postgresql://owner" not in environment.values()
    assert environment["RAY_AUTH_MODE"] == "token"


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    first = Credentials.load_or_make(tmp_path)

    again = Credentials.load_or_make(tmp_path)

    assert first == again
    assert len({*vars_of(first).values()}) == len(vars_of(first))
    assert (tmp_path / SECRETS_FILE).stat().st_mode & 0o777 == 0o600


def test_a_newer_version_adds_what_it_needs(tmp_path: Path) -> None:
    first = Credentials.load_or_make(tmp_path)
    older = vars_of(first)
    del older["secret_key"]
    (tmp_path / SECRETS_FILE).write_text(json.dumps(older))

    again = Credentials.load_or_make(tmp_path)

    assert again.ray_token == first.ray_token
    assert len(again.secret_key) == 64


def test_damaged_secrets_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / SECRETS_FILE).write_text("{")

    with pytest.raises(StackProblem, match="is damaged"):
        Credentials.load_or_make(tmp_path)


def test_urls_of_the_roles_quote_what_a_url_cannot_hold() -> None:
    passwords = Passwords(owner="a/b", app="c@d", log="e:f")

    made = urls("postgresql://root:x@db:5433/postgres?sslmode=require", "guild", passwords)

    assert made.owner == "postgresql://guild_owner:a%2Fb@db:5433/guild?sslmode=require"
    assert made.app == "postgresql://guild_app:c%40d@db:5433/guild?sslmode=require"
    assert made.log == "postgresql://guild_log:e%3Af@db:5433/guild?sslmode=require"


def test_another_login_replaces_the_old_one() -> None:
    assert with_login("postgresql://a:b@h/x", "c", "d", "y") == "postgresql://c:d@h/y"


def vars_of(credentials: Credentials) -> dict[str, str]:
    return {name: getattr(credentials, name) for name in Credentials.__dataclass_fields__}
