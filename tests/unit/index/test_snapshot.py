"""A snapshot is exactly what was written, or it is refused."""

import random
import resource
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.index import snapshot
from actors.index.checksum import Checksum
from actors.index.guild import GuildIndex
from actors.index.image import DenseImage, Image
from actors.index.passage import Passage, Source
from actors.index.snapshot import BadSnapshot
from actors.runtime.message import GuildId, Position

GUILD = GuildId("guild_01arz3ndektsv4rrffq69g5fav")
MODEL = "words-of-tests"
DIMENSION = 8
AT = Position(7, 5)


def source(number: int) -> Source:
    return Source(
        source_id=f"doc_{number}",
        type="document",
        version=number + 1,
        title=f"ディスク {number}\u2028",
        external_id=None if number % 2 else f"disk/{number}.md",
        tags=("storage", "ünï"),
        names=("DiskFull",),
        labels={"team": "store"},
        urls=("https://runbooks.example/disk",),
        access="protected",
        changed_at=1_777_896_000.25 + number,
    )


def passage(number: int, part: int) -> Passage:
    vector = np.random.default_rng(100 * number + part).normal(size=DIMENSION)
    return Passage(
        chunk_id=f"chk_{number}_{part}",
        position=part,
        heading="Disk > Full\nquoted",
        text=f"Rotate the logs {number}.\n\nThen look again \U0001f525",
        char_start=part,
        char_end=part + 9,
        vector=None if part == 2 else (vector / np.linalg.norm(vector)).astype(np.float32),
    )


def index_of(count: int) -> GuildIndex:
    index = GuildIndex(DIMENSION, fold_rows=4)
    for number in range(count):
        index.replace(source(number), [passage(number, part) for part in range(number % 4)])
    index.commit()
    return index


def write(path: Path, index: GuildIndex) -> None:
    snapshot.write(path, index.image(), guild_id=GUILD, position=AT, model_id=MODEL, written_at=1e9)


def told(loaded: Sequence[tuple[Source, list[Passage]]]) -> list[object]:
    return [
        (
            one,
            [
                (
                    part.chunk_id,
                    part.position,
                    part.heading,
                    part.text,
                    part.char_start,
                    part.char_end,
                    None if part.vector is None else part.vector.tobytes(),
                )
                for part in passages
            ],
        )
        for one, passages in loaded
    ]


@pytest.mark.parametrize("count", [0, 1, 9, 150])
def test_what_is_read_is_what_was_written(tmp_path: Path, count: int) -> None:
    index = index_of(count)
    given = [
        (source(number), [passage(number, part) for part in range(number % 4)])
        for number in range(count)
    ]

    write(tmp_path / "one.index", index)
    read = snapshot.read(tmp_path / "one.index", GUILD, MODEL, DIMENSION)

    assert told(read.loaded) == told(given)
    assert told(list(index.image().loaded())) == told(given)
    assert (read.position, read.manifest.sources) == (AT, count)
    assert [path.name for path in tmp_path.iterdir()] == ["one.index"]


def test_what_left_the_index_is_not_written(tmp_path: Path) -> None:
    index = index_of(5)
    index.remove("doc_3")

    write(tmp_path / "one.index", index)
    read = snapshot.read(tmp_path / "one.index", GUILD, MODEL, DIMENSION)

    assert [one.source_id for one, _ in read.loaded] == ["doc_0", "doc_1", "doc_2", "doc_4"]


def test_sources_without_passages_are_taken_by_the_dozen_as_well() -> None:
    image = Image(
        sources=[(source(number), ()) for number in range(200)],
        passages=[],
        dense=DenseImage(np.empty((0, DIMENSION), np.float32), np.empty(0, np.int64)),
    )

    sizes = [len(block.sources) for block in image.blocks()]

    assert (sum(sizes), max(sizes)) == (200, 64)


def test_a_passage_with_a_vector_keeps_nobody_elses() -> None:
    vectors = np.ones((1, DIMENSION), np.float32)
    image = Image(
        sources=[(source(number), (number,)) for number in range(64)],
        passages=[passage(number, 2) for number in range(64)],
        dense=DenseImage(vectors, np.array([0] + [-1] * 63)),
    )

    kept = [one.vector for _, passages in image.loaded() for one in passages]

    assert kept[0] is not None
    assert kept[0].base is not None
    assert kept[0].base.nbytes == vectors.nbytes
    assert kept[1:] == [None] * 63


def test_writing_holds_a_few_dozen_passages_at_a_time(tmp_path: Path) -> None:
    count, dimension = 8_000, 256
    vectors = np.ones((count, dimension), np.float32)
    image = Image(
        sources=[(source(number), (number,)) for number in range(count)],
        passages=[passage(number, 2) for number in range(count)],
        dense=DenseImage(vectors, np.arange(count)),
    )

    tracemalloc.start()
    try:
        size = snapshot.write(
            tmp_path / "one.index",
            image,
            guild_id=GUILD,
            position=AT,
            model_id=MODEL,
            written_at=1e9,
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > vectors.nbytes
    assert peak < vectors.nbytes / 4


def test_a_thousand_damages_are_all_found(tmp_path: Path) -> None:
    path = tmp_path / "one.index"
    write(path, index_of(9))
    whole = path.read_bytes()
    chance = random.Random(7)  # noqa: S311  # which bit is no secret
    found = 0

    for number in range(1_000):
        if number % 2:
            damaged = bytearray(whole)
            damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        else:
            damaged = bytearray(whole[: chance.randrange(len(whole))])
        path.write_bytes(damaged)
        try:
            snapshot.read(path, GUILD, MODEL, DIMENSION)
        except BadSnapshot:
            found += 1

    assert found == 1_000


@pytest.mark.parametrize(
    ("guild_id", "model_id", "dimension"),
    [("guild_other", MODEL, 8), (GUILD, "another", 8), (GUILD, MODEL, 4)],
)
def test_the_snapshot_of_something_else_is_refused(
    tmp_path: Path, guild_id: str, model_id: str, dimension: int
) -> None:
    write(tmp_path / "one.index", index_of(3))

    with pytest.raises(BadSnapshot, match="another guild or model"):
        snapshot.read(tmp_path / "one.index", GuildId(guild_id), model_id, dimension)


def test_a_folder_that_others_may_enter_is_not_trusted(tmp_path: Path) -> None:
    write(tmp_path / "one.index", index_of(3))
    tmp_path.chmod(0o755)

    with pytest.raises(BadSnapshot, match="not ours alone"):
        snapshot.read(tmp_path / "one.index", GUILD, MODEL, DIMENSION)
    with pytest.raises(PermissionError, match="not ours alone"):
        write(tmp_path / "one.index", index_of(3))


def test_a_file_that_cannot_be_written_whole_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "one.index"
    write(path, index_of(3))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            write(path, index_of(4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["one.index"]


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 5))
def test_a_checksum_knows_no_order_and_every_change(order: list[int], changed: int) -> None:
    def summed(numbers: Sequence[int], version: int = 0) -> int:
        checksum = Checksum(GUILD)
        for number in numbers:
            checksum.add(
                source(number + (version if number == changed else 0)), [passage(number, 0)]
            )
        return checksum.value

    assert summed(order) == summed(range(6))
    assert summed(order, version=10) != summed(range(6))
    assert summed(order[1:]) != summed(range(6))
