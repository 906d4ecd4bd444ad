"""The folder that a backup is written to: ours alone, or left as it is."""

import fcntl
import os
from pathlib import Path

import pytest

from cluster.backup.dumping import dump
from cluster.problem import StackProblem
from tests.fixtures.backups import NUMBERS, QUIET

_NO_DATABASE = "postgresql://nobody@127.0.0.1:1/guild"


async def test_a_second_backup_to_the_same_place_leaves_the_first_one_its_files(
    tmp_path: Path,
) -> None:
    first = tmp_path / ".backup.partial" / "data" / "toc.dat"
    first.parent.mkdir(parents=True)
    first.write_bytes(b"half")
    lock = os.open(tmp_path / ".backup.partial", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    with pytest.raises(StackProblem, match="another backup writes to"):
        await dump(_NO_DATABASE, tmp_path / "backup", NUMBERS, QUIET)
    os.close(lock)

    assert first.read_bytes() == b"half"


async def test_files_that_no_backup_left_are_not_removed(tmp_path: Path) -> None:
    strange = tmp_path / ".backup.partial" / "letters.txt"
    strange.parent.mkdir()
    strange.write_text("mine")

    with pytest.raises(StackProblem, match=r"holds letters\.txt, which no backup left"):
        await dump(_NO_DATABASE, tmp_path / "backup", NUMBERS, QUIET)

    assert strange.read_text() == "mine"
