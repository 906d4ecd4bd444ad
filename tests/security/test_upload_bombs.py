"""Files that attack their reader: each is refused in time, and none takes much memory.

They go through the whole gateway to real parsers, in a process of their own that can be measured.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.security.bombs import BOMBS
from tests.security.dropping import MAX_S

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
MAX_BYTES = 256 << 20


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of each bomb, by its name; the good file behind them has none."""
    folder = tmp_path_factory.mktemp("bombs")
    run("tests.security.bombs", folder)
    lines = run("tests.security.dropping", folder).splitlines()
    said = [json.loads(line) for line in lines if line.startswith('{"bomb"')]
    return {one["bomb"]: one for one in said}


def run(module: str, folder: Path) -> str:
    """What a module prints."""
    return subprocess.run(
        [sys.executable, "-m", module, str(folder)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=420,
    ).stdout


def test_there_are_at_least_forty() -> None:
    assert len(BOMBS) >= 40


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_time(dropped: dict[str, dict[str, Any]], name: str) -> None:
    answer = dropped[name]

    assert {413, 415, 422}.issuperset(answer["statuses"]), answer["text"]
    assert answer["seconds"] <= MAX_S
    assert "a.docx" not in answer["text"]
    assert "Traceback" not in answer["text"]


def test_no_parser_takes_much_memory_and_the_next_file_is_stored(
    dropped: dict[str, dict[str, Any]],
) -> None:
    good = dropped[""]

    assert good["statuses"][0] == 201, good["text"]
    assert good["peak_bytes"] <= MAX_BYTES
