"""The files that a newcomer and an operator start from."""

import importlib.metadata
import re
from pathlib import Path

import yaml

import actors
from actors.settings import GuildSettings

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_environment_names_only_what_is_read() -> None:
    known = {"ENV", "LOG_LEVEL", "DATABASE_URL", "REDIS_URL", "JWT_SECRET", "SECRET_KEY"}
    fields = {f"GUILD_{name.upper()}" for name in GuildSettings.model_fields}
    sections = {f"{name}__" for name in fields}

    named = re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert named
    for name in named:
        in_section = any(name.startswith(section) for section in sections)
        assert name in known or name in fields or in_section, name


def test_the_serve_config_sets_what_serve_would_default_badly() -> None:
    config = yaml.safe_load((ROOT / "ray_config.yaml").read_text())

    gateway = config["applications"][0]["deployments"][0]
    assert config["http_options"]["host"] == "127.0.0.1"
    assert config["applications"][0]["import_path"] == "serve_app.app:build"
    assert gateway["max_ongoing_requests"] > GuildSettings().gateway.max_ongoing_requests


def test_our_packages_are_nobody_elses() -> None:
    owners = importlib.metadata.packages_distributions()

    for package in ("actors", "serve_app", "cluster"):
        assert set(owners.get(package, ["elders-guild"])) == {"elders-guild"}
    assert Path(actors.__file__).resolve().is_relative_to(ROOT)
