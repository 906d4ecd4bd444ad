"""Sages on two hosts: one is cut off, then killed whole; who writes hardly notices."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.fixtures.two_hosts import two_hosts

pytestmark = [pytest.mark.integration, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[3]


def test_a_host_that_is_cut_off_or_dies_costs_five_seconds_and_no_write() -> None:
    folder = tempfile.mkdtemp(prefix="gt", dir="/tmp")  # socket paths are short
    with two_hosts() as hosts:
        command = [sys.executable, "-m", "tests.integration.runtime.two_hosts_play"]
        played = subprocess.run(
            hosts.inside(hosts.head, [*command, hosts.head, hosts.worker, folder]),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            timeout=420,
            check=True,
        )
    shutil.rmtree(folder, ignore_errors=True)

    (line,) = [line for line in played.stdout.splitlines() if line.startswith("{")]
    seen = json.loads(line)
    print(json.dumps(seen, indent=1))
    assert seen["members"] == seen["members_again"] == {"head": 2, "worker": 2}
    assert (seen["lost"], seen["doubled"], seen["not_acknowledged"]) == (0, 0, 0)
    for fault in ("cut_off", "killed"):
        assert seen[fault]["longest_write_s"] <= 5
        assert seen[fault]["writes"] > 100
