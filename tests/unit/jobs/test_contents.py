"""A file's blocks and the digest of just those."""

import hashlib
import os
from pathlib import Path

import pytest

from actors.documents.parsed import ParseProblem
from cluster.jobs.contents import Contents

MIB = 1 << 20


def written(folder: Path, data: bytes) -> Path:
    path = folder / "a.md"
    path.write_bytes(data)
    return path


def test_the_digest_is_of_the_seed_and_of_what_was_given(tmp_path: Path) -> None:
    data = os.urandom(3 * MIB // 2)

    with written(tmp_path, data).open("rb", buffering=0) as file:
        contents = Contents(file, b"seed", 2 * MIB)
        given = list(contents.blocks())
        again = Contents(file, b"seed", 2 * MIB).read_digest()

    assert (b"".join(given), [len(block) for block in given]) == (data, [MIB, MIB // 2])
    assert contents.digest == again == hashlib.sha256(b"seed\n" + data).hexdigest()


def test_the_digest_is_of_what_the_latest_reading_gave(tmp_path: Path) -> None:
    path = written(tmp_path, b"before")

    with path.open("rb", buffering=0) as file:
        contents = Contents(file, b"", MIB)
        before = contents.read_digest()
        path.write_bytes(b"after")
        given = b"".join(contents.blocks())

    assert given == b"after"
    assert contents.digest == hashlib.sha256(b"\nafter").hexdigest() != before


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with written(tmp_path, bytes(MIB + 1)).open("rb", buffering=0) as file:
        contents = Contents(file, b"", MIB)

        with pytest.raises(ParseProblem, match="is larger than 1 MiB"):
            contents.read_digest()


def test_a_file_that_grows_while_it_is_read_is_refused_where_it_is_too_large(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, bytes(MIB))

    with path.open("rb", buffering=0) as file:
        blocks = Contents(file, b"", MIB).blocks()
        first = next(blocks)
        path.write_bytes(bytes(2 * MIB))

        with pytest.raises(ParseProblem, match="is larger than 1 MiB"):
            next(blocks)

    assert len(first) == MIB


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    descriptor = os.open(tmp_path / "pipe.md", os.O_RDONLY | os.O_NONBLOCK)

    with open(descriptor, "rb", buffering=0) as file:
        contents = Contents(file, b"", MIB)

        with pytest.raises(ParseProblem, match="is no regular file"):
            contents.read_digest()
