"""What `scripts/deploy.sh` says before it does anything."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.files import ROOT

_OURS = re.compile(r"(GUILD|RAY)_|(DATABASE_URL|REDIS_URL|JWT_SECRET|SECRET_KEY|ENV)$")


def script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return subprocess.run(
        [ROOT / "scripts" / "deploy.sh", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "staging.env"
    file.write_text(f"GUILD_DATA_DIR='{tmp_path / 'data'}'\n")
    return {"GUILD_ENV_FILE": str(file)}


@pytest.mark.parametrize(
    "arguments",
    [(), ("deploy",), ("deploy", "moon"), ("backup",), ("undo", "staging"), ("status", "moon")],
)
def test_it_says_how_it_is_used(arguments: tuple[str, ...], settings: dict[str, str]) -> None:
    done = script(*arguments, **settings)

    assert done.returncode == 2
    assert "deploy development|staging|production" in done.stderr


def test_it_names_the_file_of_settings_that_it_lacks(tmp_path: Path) -> None:
    done = script("status", "staging", GUILD_ENV_FILE=str(tmp_path / "none"))

    assert done.returncode == 1
    assert "none cannot be read" in done.stderr


def test_it_knows_that_nothing_is_deployed(settings: dict[str, str]) -> None:
    status, verified = (
        script("status", "staging", **settings),
        script("verify", "staging", **settings),
    )

    assert (status.returncode, status.stdout.strip()) == (0, "nothing is deployed")
    assert (verified.returncode, verified.stdout.strip()) == (1, "nothing is deployed")


def test_two_generations_must_share_their_data(settings: dict[str, str]) -> None:
    done = script("deploy", "staging", **settings)

    assert done.returncode == 1
    assert "share DATABASE_URL, REDIS_URL, JWT_SECRET, SECRET_KEY" in done.stderr
