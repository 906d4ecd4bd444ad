"""Configuration: read once, checked hard."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from actors.settings import Environment, GuildSettings

SECRETS = {
    "DATABASE_URL": "postgresql://guild_app@127.0.0.1/guild",
    "GUILD_LOG_DATABASE_URL": "postgresql://guild_log@127.0.0.1/guild",
    "REDIS_URL": "redis://127.0.0.1",
    "JWT_SECRET": "signs-kQ7vR2xN9pL4mT8wZ1cB6dF3hY5",
    "SECRET_KEY": "seals-Y5gJ0sA7uE2iO9nV4bX8rK6tqW1",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, "ENV", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def test_the_original_guides_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", SECRETS["DATABASE_URL"])
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")

    read = GuildSettings()

    assert read.database_url.get_secret_value() == SECRETS["DATABASE_URL"]
    assert read.log_level == "DEBUG"


def test_nested_settings_have_two_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUILD_RUNTIME__MAX_BATCH", "7")

    assert GuildSettings().runtime.max_batch == 7


def test_networks_that_are_called_all_the_same_are_read_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUILD_OUTBOUND__ALLOWED_NETWORKS", '["127.0.0.0/8", "fd00::/8"]')

    read = GuildSettings()

    assert [str(one) for one in read.outbound.allowed_networks] == ["127.0.0.0/8", "fd00::/8"]
    assert GuildSettings().outbound.ports == (443,)
    assert not GuildSettings().outbound.allow_http


def test_a_misspelt_argument_is_refused() -> None:
    with pytest.raises(ValidationError):
        GuildSettings.model_validate({"runtme": {}})


@pytest.mark.parametrize("missing", SECRETS)
def test_production_names_the_missing_secret_and_no_value(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("ENV", "production")
    for name, value in SECRETS.items():
        if name != missing:
            monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=f"needs {missing}") as refusal:
        GuildSettings()

    assert not any(value in str(refusal.value) for value in SECRETS.values())


def test_production_refuses_a_short_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV", "production")
    for name, value in (SECRETS | {"JWT_SECRET": "short"}).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match="JWT_SECRET: at least 32 bytes"):
        GuildSettings()


WEAK = {
    "short": "k" * 10 + "aB3$xY7!pQ",
    "one character": "j" * 64,
    "few characters": "abcdefg" * 10,
    "a placeholder": "please-change-me-please-change-me-0123",
    "another": "your-secret-key-goes-here-0123456789abc",
    "blanks": " " * 40,
    "a ring of a short key": '[{"kid": "2026", "key": "only-a-few-bytes"}]',
    "a ring that is none": '[{"kid": "2026", "secret": "0123456789abcdef0123456789abcdef"}]',
}


@pytest.mark.parametrize("kind", WEAK)
def test_production_refuses_a_weak_key_by_its_name_and_shows_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("ENV", "production")
    for name, value in (SECRETS | {"SECRET_KEY": WEAK[kind]}).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match="SECRET_KEY") as refusal:
        GuildSettings()

    said = str(refusal.value) + repr(refusal.value)
    for value in (*SECRETS.values(), WEAK[kind].strip() or "input_value"):
        assert value[-12:] not in said


def test_production_refuses_one_secret_for_two_purposes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV", "production")
    for name, value in (SECRETS | {"SECRET_KEY": SECRETS["JWT_SECRET"]}).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match="JWT_SECRET and SECRET_KEY must differ"):
        GuildSettings()


def test_a_setting_that_is_refused_does_not_show_what_stands_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUILD_EMBEDDING__API_KEY", "sk-provider-0123456789")
    monkeypatch.setenv("GUILD_EMBEDDING__PROVIDER", "sk-given-to-the-wrong-one")

    with pytest.raises(ValidationError) as refusal:
        GuildSettings()

    assert "sk-" not in str(refusal.value) + repr(refusal.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", "GUILD_LOG_DATABASE_URL", "REDIS_URL"])
@pytest.mark.parametrize("password", ["pass/word", "1234/word", "pass#word", "pass[word", "1?a"])
def test_an_address_whose_password_tears_it_apart_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    monkeypatch.setenv(name, f"postgresql://guild_app:{password}@127.0.0.1:5432/guild")

    with pytest.raises(ValidationError, match=f"{name}: not a URL") as refusal:
        GuildSettings()

    assert password[:4] not in str(refusal.value).replace("a password in it", "")


def test_no_module_reads_its_secrets_when_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """X15: settings were read at import, and a secret that was missing was an empty one."""
    monkeypatch.setenv("ENV", "production")
    modules = ("actors.settings", "serve_app.app", "serve_app.http", "cluster.admin")
    imports = "; ".join(f"import {name}" for name in modules)

    done = subprocess.run(
        [sys.executable, "-c", f"{imports}; print('imported'); actors.settings.settings()"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "imported\n")
    assert "ENV=production needs DATABASE_URL" in done.stderr


def test_production_starts_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV", "production")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    assert GuildSettings().env is Environment.PRODUCTION


def test_a_pool_cannot_be_larger_than_its_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUILD_POOLS__TASK__MIN_SIZE", "9")

    with pytest.raises(ValidationError, match="min_size is above max_size"):
        GuildSettings()


def test_a_pull_cannot_wait_longer_than_its_request() -> None:
    with pytest.raises(ValidationError, match="pull_wait_s is not below"):
        GuildSettings.model_validate({"bus": {"pull_wait_s": 15.0}})


def test_every_edge_bound_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUILD_GATEWAY__RATE__PRINCIPAL", "5")
    monkeypatch.setenv("GUILD_GATEWAY__CORS_ORIGINS", '["https://console.example"]')
    monkeypatch.setenv("GUILD_METRICS_TOKEN", "of prometheus")

    read = GuildSettings()

    assert read.gateway.rate.principal == 5
    assert read.gateway.cors_origins == ("https://console.example",)
    assert "of prometheus" not in repr(read)
