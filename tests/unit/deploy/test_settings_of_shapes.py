"""Each variable that a deployment file names is read by somebody, and production starts on them."""

import re
from typing import Any

import pytest
from pydantic import BaseModel

from actors.settings import Environment, GuildSettings
from cluster.environment import ALLOCATOR
from cluster.ports import Ports
from cluster.ray_head import GcsStore, ray_environment
from tests.unit.deploy.files import DEPLOY, environment_file, load, manifests, substituted

_OTHER_NAMES = {"ENV", "LOG_LEVEL", "DATABASE_URL", "REDIS_URL", "JWT_SECRET", "SECRET_KEY"}
_GIVEN = {
    name: f"{index}fa1c77e0b2d4586a9f01c2b3d4e5f60718293a4b5c6d7e8"
    for index, name in enumerate(environment_file("compose/.env.example"))
} | {"GUILD_HOST": "guild.example", "TLS_FOLDER": "./tls"}


def is_setting(name: str) -> bool:
    """Whether a variable is a field of the settings, at whatever depth."""
    if name in _OTHER_NAMES:
        return True
    model: Any = GuildSettings
    for part in name.removeprefix("GUILD_").lower().split("__"):
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return False
        if part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return name.startswith("GUILD_")


def compose_environment(service: str) -> dict[str, str]:
    """What a service of compose finds in its environment."""
    found = load("compose/compose.yaml")["services"][service]["environment"]
    return {name: substituted(str(value), _GIVEN) for name, value in found.items()}


def kubernetes_settings() -> dict[str, str]:
    """What the pods find, secrets left out."""
    [found] = [one for one in manifests() if one["metadata"]["name"] == "guild-settings"]
    settings: dict[str, str] = found["data"]
    return settings


def production(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> GuildSettings:
    """The settings of a process in this environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return GuildSettings()


@pytest.mark.parametrize("service", ["prepare", "guild"])
def test_compose_names_only_what_is_read(service: str) -> None:
    for name in compose_environment(service):
        assert is_setting(name), name


def test_compose_asks_for_what_its_example_lists() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose/compose.yaml").read_text()))

    assert asked | {"GUILD_METRICS_TOKEN"} == set(environment_file("compose/.env.example"))


def test_production_starts_on_the_environment_of_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    found = production(compose_environment("guild"), monkeypatch)

    assert found.env is Environment.PRODUCTION
    assert found.gateway.issuer == "https://guild.example"
    assert found.gateway.trusted_proxies
    assert found.metrics_token.get_secret_value()


def test_production_starts_on_the_settings_and_secrets_of_kubernetes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = compose_environment("guild")
    secrets = {name: secret[name] for name in documented_secrets()}

    found = production(kubernetes_settings() | secrets, monkeypatch)

    assert found.env is Environment.PRODUCTION
    assert found.gateway.trusted_proxies
    assert all(is_setting(name) for name in [*kubernetes_settings(), *secrets])


def documented_secrets() -> list[str]:
    """The keys of guild-secrets, as the page on deployment lists them."""
    text = (DEPLOY.parents[1] / "docs" / "DEPLOYMENT.md").read_text(encoding="utf-8")
    [command] = re.findall(r"secret generic guild-secrets (.*?)\nkubectl", text, re.DOTALL)
    return re.findall(r"--from-literal=(\w+)=", command)


def test_ray_is_told_the_same_everywhere() -> None:
    ports = Ports(**dict.fromkeys(Ports.__dataclass_fields__, 1))
    store = GcsStore(port=1, password="x")
    local = ray_environment(ports, token="x", store=store, namespace="x", temp_dir=DEPLOY)

    shared = environment_file("ray/ray.env")

    beyond = {"RAY_enable_autoscaler_v2": "1"}  # the local stack has one node
    assert shared == {name: local[name] for name in shared if name in local} | ALLOCATOR | beyond


def test_the_images_environment_is_read() -> None:
    text = (DEPLOY / "image/Dockerfile").read_text(encoding="utf-8")

    assert is_setting("GUILD_DATA_DIR")
    assert set(re.findall(r"\b(GUILD_\w+)=", text)) == {"GUILD_DATA_DIR"}


def test_a_name_that_nobody_reads_is_noticed() -> None:
    assert is_setting("GUILD_GATEWAY__TRUSTED_PROXIES")
    assert not is_setting("GUILD_GATEWAY__TRUSTED_PROXY")
    assert not is_setting("GUILD_GATEWAY__ISSUER__X")
    assert not is_setting("POSTGRES_URL")


def test_no_password_of_compose_stands_where_a_process_list_shows_it() -> None:
    compose = load("compose/compose.yaml")["services"]
    told = {name: str(service.get("command", "")) for name, service in compose.items()}

    assert [name for name, text in told.items() if re.search(r"(?<!\$)\$\{", text)] == []


def test_compose_sends_its_spans_to_jaeger() -> None:
    assert compose_environment("guild")["GUILD_TRACING__ENDPOINT"] == "http://jaeger:4318"
