"""Ray's autoscaler and our supervisor together: load brings members, members bring nodes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.fake_nodes import autoscaling_ray
from tests.fixtures.keyed_load import effects

pytestmark = [pytest.mark.integration, pytest.mark.long]

_SETTINGS = {
    "GUILD_RUNTIME__GROW_AFTER_S": "1",
    "GUILD_RUNTIME__SHRINK_AFTER_S": "3",
    "GUILD_RUNTIME__FAILOVER_BUDGET_S": "20",
    "GUILD_RUNTIME__DEFAULT_TIMEOUT_S": "60",
    "GUILD_RUNTIME__PLACEMENT_TIMEOUT_S": "120",
}


def test_load_brings_members_and_their_nodes_and_both_go_with_it(tmp_path: Path) -> None:
    # The supervisor and one member fit on the head; each further node holds two members.
    with autoscaling_ray(
        head_memory_mib=600, node_memory_mib=600, max_nodes=3, idle_s=5, settings=_SETTINGS
    ) as environment:
        played = subprocess.run(
            [sys.executable, "-m", "tests.integration.runtime.scaling_play", str(tmp_path)],
            env=dict(environment),
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
            check=True,
        )

    seen = json.loads(played.stdout.splitlines()[-1])
    print(seen["seconds"], f"{seen['most_nodes']} nodes", seen["answered_by"])
    assert effects(tmp_path) == seen["acknowledged"]
    assert seen["most_nodes"] == 3
    assert len(seen["answered_by"]) == 4
    assert seen["beyond_head_at_the_end"] == 0
