"""The commands as an operator gives them, and those of the runbook in its order."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.local_stack import ROOT, clean_environment
from cluster.services import PostgresServer
from tests.fixtures.backups import Saved
from tests.fixtures.storage import SECRET_KEY

pytestmark = pytest.mark.integration

_RUNBOOK = ROOT / "docs" / "runbooks" / "restore-after-a-disaster.md"
# These need the whole guild: the test of the local stack runs them.
_LIVE = ("cluster.up", "$GUILD_URL")


def _guild(*arguments: str | Path, **environment: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", *map(str, arguments), "--json"],
        cwd=ROOT,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.long
def test_a_backup_is_taken_and_tried_and_a_damaged_one_ends_with_1(
    saved: Saved, tmp_path: Path
) -> None:
    database = {"GUILD_ADMIN_DATABASE_URL": saved.database.admin_url, "SECRET_KEY": SECRET_KEY}

    taken = _guild("backup", tmp_path / "b", "--database", saved.database.name, **database)
    tried = _guild("backup", "verify", tmp_path / "b")
    shutil.copyfile(tmp_path / "b" / "data" / "toc.dat", tmp_path / "b" / "data" / "more.dat")
    damaged = _guild("backup", "verify", tmp_path / "b", "--files-only")
    none = _guild("backup", "verify", tmp_path / "nowhere")

    assert (taken[0], tried[0], damaged[0], none[0]) == (0, 0, 1, 2)
    assert tried[1]["position"] == taken[1]["position"] == saved.manifest.position
    assert (tried[1]["events"], tried[1]["rows"]) == (100, saved.manifest.rows)
    assert "which has the keys it needs" in taken[2]
    assert "more.dat does not belong to it" in damaged[1]["problem"]


def test_the_runbook_brings_a_guild_back_on_another_server(
    saved: Saved, another_server: PostgresServer, tmp_path: Path
) -> None:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", _RUNBOOK.read_text(), re.DOTALL | re.MULTILINE)
    commands = [one for one in blocks if not any(live in one for live in _LIVE)]
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    environment = clean_environment(
        {
            "PYTHONPATH": str(ROOT),
            "BACKUP": str(saved.folder),
            "GUILD_ADMIN_DATABASE_URL": another_server.admin_url,
            "SECRET_KEY": SECRET_KEY,
        }
    )

    told = []
    for command in commands:
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        told.append(done.stdout + done.stderr)

    assert len(commands) >= 5
    everything = "\n".join(told)
    assert f"100 events up to {saved.manifest.position}" in everything
    assert "nothing to do" in everything  # the schema is this version's
    assert re.search(rf"{saved.guild} 3:[0-9a-f]{{64}}", everything)  # the chain of the audit log
